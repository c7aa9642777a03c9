//! The sections of `config/default.toml`, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use domain::{JobId, Role};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub amqp: Amqp,
    pub s3: S3,
    pub postgres: Postgres,
    pub worker: Worker,
    pub audio: Audio,
    pub segment: Segment,
    pub analysis: Analysis,
    pub model: Model,
    pub runtime: Runtime,
    pub alerts: Alerts,
    pub log: Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amqp {
    pub url: SecretString,
    pub ca_file: PathBuf,
    pub prefix: String,
    pub prefetch: u16,
    pub heartbeat_s: u16,
    pub confirm_timeout_s: u64,
    pub reconnect_max_s: u64,
    pub retry_delays_s: Vec<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub artifact_bucket: String,
    pub artifact_prefix: String,
    pub access_key: SecretString,
    pub secret_key: SecretString,
    pub path_style: bool,
    pub checksums: Checksums,
    pub ca_file: PathBuf,
    pub connect_timeout_s: u64,
    pub stall_timeout_s: u64,
    pub attempts: u32,
    pub part_mib: u64,
}

impl S3 {
    /// Where artifacts go.
    pub fn artifact_bucket(&self) -> &str {
        if self.artifact_bucket.is_empty() { &self.bucket } else { &self.artifact_bucket }
    }

    /// Prefix of the keys of one job's artifacts; ends in `/`.
    pub fn artifact_folder(&self, job: JobId) -> String {
        format!("{}/{job}/", self.artifact_prefix)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksums {
    WhenRequired,
    WhenSupported,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    pub url: SecretString,
    pub max_connections: u32,
    pub connect_timeout_s: u64,
    pub statement_timeout_s: u64,
}

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
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    pub max_bytes: u64,
    pub max_seconds: f64,
    pub max_channels: u16,
    pub accept_truncated: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    pub vad_threshold: f32,
    pub scream_dbfs: f32,
    pub min_silence_s: f64,
    pub min_speech_s: f64,
    pub padding_s: f64,
    pub target_min_s: f64,
    pub target_max_s: f64,
    pub hard_max_s: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    pub score_roles: BTreeSet<Role>,
    pub two_channel_roles: [Role; 2],
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub dir: PathBuf,
    pub name: String,
    pub threads: usize,
    pub batch_seconds: f64,
    pub batch_items: usize,
    pub batch_wait_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    pub onnxruntime: PathBuf,
    pub vad: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    pub rules: PathBuf,
    pub health_addr: SocketAddr,
    pub console_url: String,
    pub poll_s: u64,
    pub timeout_s: u64,
    pub retry_max_s: u64,
    pub max_attempts: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

impl Settings {
    /// What types can't say: ranges, and how keys go together. The message names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        let amqp_url = self.amqp.url.expose_secret();
        let postgres_url = self.postgres.url.expose_secret();
        let (seg, worker, alerts) = (&self.segment, &self.worker, &self.alerts);
        let rules: [(&str, bool, &str); 22] = [
            (
                "amqp.url",
                amqp_url.starts_with("amqp://") || amqp_url.starts_with("amqps://"),
                "must begin with amqp:// or amqps://",
            ),
            ("amqp.prefix", !self.amqp.prefix.is_empty(), "must not be empty"),
            ("amqp.prefetch", self.amqp.prefetch > 0, "must be at least 1: 0 means no limit to RabbitMQ"),
            ("amqp.retry_delays_s", (1..=10).contains(&self.amqp.retry_delays_s.len()), "must name one to ten delays"),
            ("amqp.retry_delays_s", self.amqp.retry_delays_s.iter().all(|s| *s > 0), "must be positive"),
            ("s3.bucket", !self.s3.bucket.is_empty(), "must not be empty"),
            ("s3.part_mib", (5..=5120).contains(&self.s3.part_mib), "must be 5 to 5120, by S3's own rule"),
            (
                "postgres.url",
                postgres_url.starts_with("postgres://") || postgres_url.starts_with("postgresql://"),
                "must begin with postgres://",
            ),
            ("postgres.max_connections", self.postgres.max_connections > 0, "must be at least 1"),
            ("worker.slots", worker.slots > 0, "must be at least 1"),
            ("worker.max_attempts_unfinished", worker.max_attempts_unfinished > 0, "must be at least 1"),
            (
                "worker.job_timeout_s",
                (1..1800).contains(&worker.job_timeout_s),
                "must be 1 to 1799, below RabbitMQ's consumer_timeout",
            ),
            ("audio.max_channels", self.audio.max_channels > 0, "must be at least 1"),
            ("segment.vad_threshold", (0.16..1.0).contains(&seg.vad_threshold), "must be between 0.16 and 1"),
            ("segment.scream_dbfs", (-90.0..=0.0).contains(&seg.scream_dbfs), "must be -90 to 0"),
            (
                "segment.target_max_s",
                seg.target_min_s <= seg.target_max_s && seg.target_max_s <= seg.hard_max_s,
                "must lie between target_min_s and hard_max_s",
            ),
            ("segment.hard_max_s", (1.0..=30.0).contains(&seg.hard_max_s), "must be 1 to 30"),
            ("model.batch_items", self.model.batch_items > 0, "must be at least 1"),
            (
                "alerts.console_url",
                alerts.console_url.is_empty()
                    || alerts.console_url.starts_with("http://")
                    || alerts.console_url.starts_with("https://"),
                "must begin with http:// or https://, or be empty",
            ),
            ("alerts.poll_s", (1..=60).contains(&alerts.poll_s), "must be 1 to 60: an alert is sent within a minute"),
            ("alerts.timeout_s", (1..=60).contains(&alerts.timeout_s), "must be 1 to 60"),
            ("alerts.max_attempts", (1..=1000).contains(&alerts.max_attempts), "must be 1 to 1000"),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, what)) => Err(format!("`{key}` {what}")),
            None => Ok(()),
        }
    }
}
