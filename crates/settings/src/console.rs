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
    pub request_timeout_s: u64,
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
        vec![
            Check::new(
                "console.hosts",
                self.hosts.iter().all(|host| is_host(host)),
                "must be names like emofleet.example.org or emofleet.example.org:8443",
            ),
            Check::range("console.session_hours", self.session_hours, 1..=720, "hours"),
            Check::range("console.upload_max_bytes", self.upload_max_bytes, 1..=5 << 40, "bytes"),
            Check::range("console.upload_max_seconds", self.upload_max_seconds, 1..=604_800, "seconds"),
            Check::new(
                "console.upload_prefix",
                adapters::s3::is_prefix(&self.upload_prefix),
                "must be a prefix of keys of at most 512 bytes, without a slash at its ends",
            ),
            Check::range("console.upload_timeout_s", self.upload_timeout_s, 1..=3600, "seconds"),
            Check::range("console.request_timeout_s", self.request_timeout_s, 1..=300, "seconds"),
            Check::range("console.uploads_at_once", self.uploads_at_once, 1..=10_000, "uploads"),
            Check::range("console.requests_per_minute", self.requests_per_minute, 0..=1_000_000, "requests a minute"),
            Check::range_or_zero("console.signed_links_s", self.signed_links_s, 60..=86_400, "seconds", "for none"),
            Check::new(
                "console.signed_links_endpoint",
                adapters::s3::is_endpoint(&self.signed_links_endpoint),
                "must be like https://HOST:PORT, or empty for s3.endpoint",
            ),
            Check::range("console.predict_wait_s", self.predict_wait_s, 1..=600, "seconds"),
        ]
    }
}

/// Whether a browser can send this as the host of a request: a name or an address, with or without a port.
fn is_host(host: &str) -> bool {
    !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@?#\\,".contains(c))
}
