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
            Check::new(
                "dispatcher.poll_s",
                (1..=60).contains(&self.poll_s),
                "must be 1 to 60: an alert is sent within a minute",
            ),
            Check::new("dispatcher.timeout_s", (1..=60).contains(&self.timeout_s), "must be 1 to 60"),
            Check::new("dispatcher.reconcile_s", self.reconcile_s <= 86_400, "must be 0 (never) to 86400"),
            Check::new("dispatcher.reconcile_after_s", self.reconcile_after_s <= 604_800, "must be 0 to 604800"),
            Check::new("dispatcher.max_attempts", (1..=1000).contains(&self.max_attempts), "must be 1 to 1000"),
        ]
    }
}
