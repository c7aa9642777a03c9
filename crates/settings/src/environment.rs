//! Settings of the environment. What a value means follows from the type of the setting's default: the text of a setting
//! that is a text is taken as it is, so that a password of digits, or a bucket named 2024, stays what it is.

use super::ConfigError;
use figment::value::{Dict, Map, Num, Tag, Value};
use figment::{Error, Metadata, Profile, Provider};
use std::ffi::OsString;

/// What the names of these variables begin with.
pub(crate) const PREFIX: &str = "EMOFLEET__";

/// The setting that one variable has.
#[derive(Debug)]
pub(crate) struct Variable {
    name: String,
    /// As it is nested in the sections, like `{worker: {slots: 3}}`.
    data: Dict,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("the environment: {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.data.clone()))
    }
}

/// The settings among these variables, in the order of their names.
///
/// # Errors
/// [`ConfigError::Invalid`] for a value that is not Unicode.
pub(crate) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    defaults: &Dict,
) -> Result<Vec<Variable>, ConfigError> {
    let mut read = Vec::new();
    for (name, text) in variables {
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        let path: Vec<String> = name[PREFIX.len()..].to_lowercase().split("__").map(str::to_owned).collect();
        let key = path.join(".");
        if path.iter().any(String::is_empty) {
            return Err(ConfigError::Invalid(format!("{name} names no setting: it must be {PREFIX}SECTION__KEY")));
        }
        let text = text
            .into_string()
            .map_err(|_| ConfigError::Invalid(format!("`{key}`: must be UTF-8 (set in the environment: {name})")))?;
        let value = value(&text, default_of(defaults, &path));
        let nested = path.iter().rev().fold(value, |value, part| Dict::from([(part.clone(), value)]).into());
        let Some(data) = nested.into_dict() else { continue };
        read.push(Variable { name: name.to_owned(), data });
    }
    read.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(read)
}

/// As figment reads them, the case of names does not matter.
fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn default_of<'a>(defaults: &'a Dict, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = defaults.get(first)?;
    if rest.is_empty() { Some(value) } else { default_of(value.as_dict()?, rest) }
}

/// What a text means where the default is this. A text that is not of its type stays one, and is refused later, by name.
fn value(text: &str, default: Option<&Value>) -> Value {
    match default {
        Some(Value::Num(..)) => number(text),
        Some(Value::Bool(..)) => text.trim().parse::<bool>().map_or_else(|_| text.into(), Value::from),
        Some(Value::Array(_, elements)) if elements.iter().all(|element| element.as_str().is_some()) => {
            texts(text).into()
        }
        Some(Value::Array(..)) => {
            let numbers: Vec<Value> =
                inner(text).split(',').map(str::trim).filter(|n| !n.is_empty()).map(number).collect();
            numbers.into()
        }
        _ => text.into(),
    }
}

fn number(text: &str) -> Value {
    text.trim().parse::<Num>().map_or_else(|_| text.into(), |number| Value::Num(Tag::Default, number))
}

fn inner(list: &str) -> &str {
    let list = list.trim();
    list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(list)
}

/// A list of texts: `["a", "b"]` as in TOML, `[a, b]` or `a,b`.
fn texts(list: &str) -> Vec<String> {
    if let Ok(toml_edit::Value::Array(array)) = list.trim().parse()
        && let Some(texts) = array.iter().map(|element| element.as_str().map(str::to_owned)).collect()
    {
        return texts;
    }
    let unquoted = |text: &str| -> String {
        let pair = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
        pair.unwrap_or(text).to_owned()
    };
    inner(list).split(',').map(|text| unquoted(text.trim())).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn a_list_of_texts_is_read_with_and_without_brackets_and_quotes() {
        for list in ["[\"1e5\", \"b\"]", "[1e5, b]", "1e5,b", " [ '1e5' , \"b\" ] "] {
            assert_eq!(texts(list), ["1e5", "b"], "{list}");
        }
        assert!(texts("").is_empty() && texts("[]").is_empty());
    }
}
