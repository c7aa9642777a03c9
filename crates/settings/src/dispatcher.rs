//! `[dispatcher]` of `config/default.toml`, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use domain::Check;
use serde::Deserialize;
use std::net::SocketAddr;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatcher {
    pub health_addr: SocketAddr,
    pub console_url: String,
    pub poll_s: u64,
    pub timeout_s: u64,
    pub retry_max_s: u64,
    pub max_attempts: u32,
    pub reconcile_s: u64,
    pub reconcile_after_s: u64,
}

impl Dispatcher {
    pub(crate) fn checks(&self) -> Vec<Check> {
        let url = &self.console_url;
        vec![
            Check::new(
                "dispatcher.console_url",
                url.is_empty() || url.starts_with("http://") || url.starts_with("https://"),
                "must begin with http:// or https://, or be empty",
            ),
            Check::range("dispatcher.poll_s", self.poll_s, 1..=60, "seconds: an alert is sent within a minute"),
            Check::range("dispatcher.timeout_s", self.timeout_s, 1..=60, "seconds"),
            Check::range("dispatcher.retry_max_s", self.retry_max_s, 1..=86_400, "seconds"),
            Check::range("dispatcher.reconcile_s", self.reconcile_s, 0..=86_400, "seconds; 0 is never"),
            Check::range("dispatcher.reconcile_after_s", self.reconcile_after_s, 0..=604_800, "seconds"),
            Check::range("dispatcher.max_attempts", self.max_attempts, 1..=1000, "attempts"),
        ]
    }
}
