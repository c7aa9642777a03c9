//! `[console]` of `config/default.toml`, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use domain::Check;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    pub addr: SocketAddr,
    pub hosts: Vec<String>,
    pub login: Login,
    pub session_hours: u32,
    pub secure_cookie: bool,
    pub upload_max_bytes: u64,
    pub upload_max_seconds: u64,
    pub upload_prefix: String,
    pub upload_timeout_s: u64,
    pub uploads_at_once: u16,
    pub predict_wait_s: u64,
    pub requests_per_minute: u32,
    pub signed_links_s: u64,
    pub signed_links_endpoint: String,
    pub temp_dir: PathBuf,
}

/// When the console asks for a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// Unless `addr` is loopback and `hosts` is empty.
    Auto,
    Always,
    Never,
}

impl Console {
    /// Whether callers must log in or bring a token.
    pub fn needs_login(&self) -> bool {
        match self.login {
            Login::Auto => !self.addr.ip().is_loopback() || !self.hosts.is_empty(),
            Login::Always => true,
            Login::Never => false,
        }
    }

    pub(crate) fn checks(&self) -> Vec<Check> {
        let prefix = &self.upload_prefix;
        vec![
            Check::new("console.session_hours", (1..=720).contains(&self.session_hours), "must be 1 to 720"),
            Check::new("console.upload_max_bytes", self.upload_max_bytes > 0, "must be at least 1"),
            Check::new("console.upload_max_seconds", self.upload_max_seconds > 0, "must be at least 1"),
            Check::new(
                "console.upload_prefix",
                !prefix.is_empty() && !prefix.starts_with('/') && !prefix.ends_with('/'),
                "must be a prefix of keys, without a slash at its ends",
            ),
            Check::new("console.upload_timeout_s", (1..=3600).contains(&self.upload_timeout_s), "must be 1 to 3600"),
            Check::new("console.uploads_at_once", self.uploads_at_once > 0, "must be at least 1"),
            Check::new(
                "console.signed_links_s",
                self.signed_links_s == 0 || (60..=86_400).contains(&self.signed_links_s),
                "must be 0 or 60 to 86400",
            ),
            Check::new(
                "console.signed_links_endpoint",
                adapters::s3::is_endpoint(&self.signed_links_endpoint),
                "must be like https://HOST:PORT, or empty for s3.endpoint",
            ),
            Check::new("console.predict_wait_s", (1..=600).contains(&self.predict_wait_s), "must be 1 to 600"),
        ]
    }
}
