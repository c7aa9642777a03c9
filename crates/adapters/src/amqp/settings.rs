//! The section of `config/default.toml` that this module reads, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use domain::Check;
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

use super::Topology;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub url: SecretString,
    pub user: String,
    pub password: SecretString,
    pub ca_file: PathBuf,
    pub prefix: String,
    pub prefetch: u16,
    pub consumer_timeout_s: u64,
    pub heartbeat_s: u16,
    pub confirm_timeout_s: u64,
    pub reconnect_max_s: u64,
    pub retry_delays_s: Vec<u32>,
}

impl Settings {
    /// How long RabbitMQ lets a delivery be unacknowledged.
    pub fn consumer_timeout(&self) -> Duration {
        Duration::from_secs(self.consumer_timeout_s)
    }

    /// What the types can't express.
    pub fn checks(&self) -> Vec<Check> {
        let url = self.url.expose_secret();
        let mut checks = vec![
            Check::new(
                "amqp.url",
                url.starts_with("amqp://") || url.starts_with("amqps://"),
                "must begin with amqp:// or amqps://",
            ),
            Check::new("amqp.url", url.parse::<AMQPUri>().is_ok(), "must be like amqp://USER:PASSWORD@HOST:PORT/VHOST"),
            Check::new(
                "amqp.ca_file",
                crate::pem::is_usable(&self.ca_file),
                "must be a readable PEM file with a certificate",
            ),
            Check::new("amqp.prefix", !self.prefix.is_empty(), "must not be empty"),
            Check::new(
                "amqp.prefix",
                !self.prefix.starts_with("amq."),
                "must not begin with amq., which RabbitMQ keeps",
            ),
            Check::range("amqp.prefetch", self.prefetch, 0..=4096, "jobs"),
            Check::range("amqp.consumer_timeout_s", self.consumer_timeout_s, 10..=31_536_000, "seconds"),
            Check::range("amqp.heartbeat_s", self.heartbeat_s, 1..=3600, "seconds"),
            Check::range("amqp.confirm_timeout_s", self.confirm_timeout_s, 1..=3600, "seconds"),
            Check::range("amqp.reconnect_max_s", self.reconnect_max_s, 1..=3600, "seconds"),
            Check::new(
                "amqp.prefix",
                Topology::new(self).fits(),
                "is too long (at most 173 bytes): RabbitMQ's names of queues end at 255 bytes",
            ),
            Check::new(
                "amqp.retry_delays_s",
                (1..=10).contains(&self.retry_delays_s.len()),
                "must name one to ten delays",
            ),
        ];
        // A week in milliseconds is within what RabbitMQ takes for a TTL.
        let delay = |delay: &u32| Check::range("amqp.retry_delays_s", *delay, 1..=604_800, "seconds each");
        checks.extend(self.retry_delays_s.iter().map(delay));
        checks
    }
}
