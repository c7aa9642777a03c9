//! The section of `config/default.toml` that this module reads, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub url: SecretString,
    pub max_connections: u32,
    pub connect_timeout_s: u64,
    pub statement_timeout_s: u64,
}

/// A key, whether its value makes sense, and what it must be.
type Check = (&'static str, bool, &'static str);

impl Settings {
    /// What the types can't express: ranges.
    pub fn checks(&self) -> Vec<Check> {
        let url = self.url.expose_secret();
        vec![
            (
                "postgres.url",
                url.starts_with("postgres://") || url.starts_with("postgresql://"),
                "must begin with postgres://",
            ),
            ("postgres.max_connections", self.max_connections > 0, "must be at least 1"),
        ]
    }
}
