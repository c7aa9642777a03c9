//! `[worker]` of `config/default.toml`, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use domain::Check;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    pub name: String,
    pub slots: u16,
    pub health_addr: SocketAddr,
    pub job_timeout_s: u64,
    pub max_attempts_unfinished: u32,
    pub drain_timeout_s: u64,
    pub temp_dir: PathBuf,
}

impl Worker {
    /// Seconds one job may take.
    pub fn job_timeout(&self) -> Duration {
        Duration::from_secs(self.job_timeout_s)
    }

    pub(crate) fn checks(&self) -> Vec<Check> {
        vec![
            Check::new("worker.max_attempts_unfinished", self.max_attempts_unfinished > 0, "must be at least 1"),
            Check::new(
                "worker.job_timeout_s",
                (1..1800).contains(&self.job_timeout_s),
                "must be 1 to 1799, below RabbitMQ's consumer_timeout",
            ),
        ]
    }
}
