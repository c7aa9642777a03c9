//! The log, set up once per process. docs/logging.md has the rules.

use domain::Check;
use domain::visible::changes_direction;
use serde::Deserialize;
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;

/// `[log]` of `config/default.toml`, where each key is explained.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented once, in config/default.toml")]
pub struct Settings {
    pub filter: String,
    pub format: Format,
}

impl Settings {
    /// What the types can't express.
    pub fn checks(&self) -> Vec<Check> {
        let valid = EnvFilter::try_new(&self.filter).is_ok();
        vec![Check::new("log.filter", valid, "must be a filter in tracing's syntax, like info or info,sqlx=warn")]
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Writes characters that change the direction of writing as `\\u202e`, which is also JSON's own form: a line of the log
/// reads as it was written. Control characters are escaped by the formatter.
struct Undirected<W>(W);

impl<W: Write> Write for Undirected<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) if text.chars().any(changes_direction) => {
                let mut shown = String::with_capacity(text.len() + 16);
                for c in text.chars() {
                    if changes_direction(c) {
                        shown.push_str(&format!("\\u{:04x}", u32::from(c)));
                    } else {
                        shown.push(c);
                    }
                }
                self.0.write_all(shown.as_bytes())?;
            }
            _ => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Starts to log to standard error. Standard output is for what a command prints.
///
/// # Errors
/// When the filter is not valid, or logging was begun already.
pub fn init(log: &Settings) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(&log.filter)?;
    // No colours in a file, nor with NO_COLOR (no-color.org).
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = SubscriberBuilder::default()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(|| Undirected(std::io::stderr()));
    match log.format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_keeps_its_direction() {
        let mut out = Undirected(Vec::new());
        out.write_all("{\"key\":\"a\u{202e}vaw.exe\"}\n通话\n".as_bytes()).expect("written");
        assert_eq!(String::from_utf8(out.0).expect("UTF-8"), "{\"key\":\"a\\u202evaw.exe\"}\n通话\n");
    }
}
