//! `[watch]` of `config/default.toml`, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use domain::Check;
use serde::Deserialize;
use std::net::SocketAddr;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    pub interval_s: u64,
    pub full_interval_s: u64,
    pub overlap_s: u64,
    pub rest_s: u64,
    pub grace_s: u64,
    pub health_addr: String,
}

impl Watch {
    /// Where the pages of health and metrics are served, if anywhere.
    pub fn health_addr(&self) -> Option<SocketAddr> {
        self.health_addr.parse().ok()
    }

    pub(crate) fn checks(&self) -> Vec<Check> {
        vec![
            Check::range("watch.interval_s", self.interval_s, 1..=86_400, "seconds"),
            Check::range("watch.full_interval_s", self.full_interval_s, 60..=604_800, "seconds"),
            Check::range("watch.overlap_s", self.overlap_s, 60..=604_800, "seconds"),
            Check::range("watch.rest_s", self.rest_s, 0..=3600, "seconds"),
            Check::range("watch.grace_s", self.grace_s, 0..=604_800, "seconds"),
            Check::new(
                "watch.health_addr",
                self.health_addr.is_empty() || self.health_addr().is_some(),
                "must be an address like 127.0.0.1:9634, or empty",
            ),
        ]
    }
}
