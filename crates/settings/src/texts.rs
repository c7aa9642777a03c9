//! What holds for every text among the settings, whatever it is for.

use figment::value::{Dict, Value};

/// Longest text, bytes: longer than any path or URL that a system takes.
const MAX_BYTES: usize = 4096;

/// Refuses texts that no service could take: a control character, such as the line break at the end of a password that
/// was read from a file, or an endless text.
///
/// # Errors
/// A sentence with the setting's key. The text is left out: it may be a secret.
pub(crate) fn check(settings: &Dict) -> Result<(), String> {
    settings.iter().try_for_each(|(section, value)| check_value(section, value))
}

fn check_value(key: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(_, text) => check_text(text).map_err(|why| format!("`{key}` {why}")),
        Value::Dict(_, keys) => keys.iter().try_for_each(|(name, value)| check_value(&format!("{key}.{name}"), value)),
        Value::Array(_, elements) => elements.iter().try_for_each(|element| check_value(key, element)),
        _ => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), String> {
    if text.len() > MAX_BYTES {
        return Err(format!("has {} bytes: a text must have at most {MAX_BYTES}", text.len()));
    }
    match text.chars().position(char::is_control) {
        Some(place) => {
            Err(format!("must not have control characters, such as a line break: see character {}", place + 1))
        }
        None => Ok(()),
    }
}
