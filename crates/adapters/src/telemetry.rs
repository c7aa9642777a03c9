//! The log, set up once per process. docs/logging.md has the rules.

use serde::Deserialize;
use std::io::IsTerminal;
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

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts to log to standard error. Standard output is for what a command prints.
///
/// # Errors
/// When the filter is not valid, or logging was begun already.
pub fn init(log: &Settings) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(&log.filter)?;
    // No colours in a file, nor with NO_COLOR (no-color.org).
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = SubscriberBuilder::default().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match log.format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    }
}
