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

/// Longest name of a worker: it is part of the key of an object.
const MAX_NAME_BYTES: usize = 255;

impl Worker {
    /// Seconds one job may take.
    pub fn job_timeout(&self) -> Duration {
        Duration::from_secs(self.job_timeout_s)
    }

    /// `consumer_timeout_s` is that of `[amqp]`.
    pub(crate) fn checks(&self, consumer_timeout_s: u64) -> Vec<Check> {
        vec![
            Check::new("worker.name", self.name.len() <= MAX_NAME_BYTES, "must have at most 255 bytes"),
            Check::range("worker.slots", self.slots, 0..=1024, "jobs"),
            Check::range("worker.max_attempts_unfinished", self.max_attempts_unfinished, 1..=1000, "attempts"),
            Check::range("worker.job_timeout_s", self.job_timeout_s, 1..=604_800, "seconds"),
            Check::new(
                "worker.job_timeout_s",
                self.job_timeout_s < consumer_timeout_s,
                "must be below `amqp.consumer_timeout_s`, past which RabbitMQ takes the job back",
            ),
            Check::range("worker.drain_timeout_s", self.drain_timeout_s, 0..=86_400, "seconds"),
        ]
    }
}
