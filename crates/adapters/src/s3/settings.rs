//! The section of `config/default.toml` that this module reads, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use domain::job::MAX_BUCKET_BYTES;
use domain::{Check, JobId};
use secrecy::SecretString;
use serde::Deserialize;
use std::path::PathBuf;

/// Half of what S3 allows for a key, bytes.
const MAX_PREFIX_BYTES: usize = 512;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksums {
    WhenRequired,
    WhenSupported,
}

impl Settings {
    /// Where artifacts go.
    pub fn artifact_bucket(&self) -> &str {
        if self.artifact_bucket.is_empty() { &self.bucket } else { &self.artifact_bucket }
    }

    /// Prefix of the keys of one job's artifacts; ends in `/`.
    pub fn artifact_folder(&self, job: JobId) -> String {
        format!("{}/{job}/", self.artifact_prefix)
    }

    /// Prefix of the artifacts that one run of a job writes: the job's folder, or a folder in it when the job was asked for
    /// again, so that a repetition can't damage the result that is there.
    pub fn run_folder(&self, job: JobId, run: u32) -> String {
        let folder = self.artifact_folder(job);
        if run == 0 { folder } else { format!("{folder}{run}/") }
    }

    /// What the types can't express.
    pub fn checks(&self) -> Vec<Check> {
        vec![
            Check::new("s3.endpoint", is_endpoint(&self.endpoint), "must be like https://HOST:PORT, or empty for AWS"),
            Check::new(
                "s3.ca_file",
                crate::pem::is_usable(&self.ca_file),
                "must be a readable PEM file with a certificate",
            ),
            Check::new(
                "s3.region",
                is_region(&self.region),
                "must be like us-east-1: letters, digits, `-`, `_` and `.`",
            ),
            Check::new("s3.bucket", is_bucket(&self.bucket), "must be a name of 1 to 255 bytes without spaces"),
            Check::new(
                "s3.artifact_bucket",
                self.artifact_bucket.is_empty() || is_bucket(&self.artifact_bucket),
                "must be a name of at most 255 bytes without spaces, or empty for s3.bucket",
            ),
            Check::new(
                "s3.artifact_prefix",
                is_prefix(&self.artifact_prefix),
                "must be a prefix of keys of at most 512 bytes, without a slash at its ends",
            ),
            Check::range("s3.connect_timeout_s", self.connect_timeout_s, 1..=3600, "seconds"),
            Check::range("s3.stall_timeout_s", self.stall_timeout_s, 1..=3600, "seconds"),
            Check::range("s3.attempts", self.attempts, 1..=100, "attempts"),
            Check::range("s3.part_mib", self.part_mib, 5..=5120, "MiB, by S3's own rule"),
        ]
    }
}

/// Whether this can be the address of a store: http or https with a host, or empty for AWS.
pub fn is_endpoint(text: &str) -> bool {
    let usable = |url: url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    text.is_empty() || text.parse().is_ok_and(usable)
}

/// Whether keys can begin with this and a slash. The rest of a key, as much as S3 allows, is for what follows.
pub fn is_prefix(text: &str) -> bool {
    (1..=MAX_PREFIX_BYTES).contains(&text.len()) && !text.starts_with('/') && !text.ends_with('/')
}

fn is_bucket(name: &str) -> bool {
    (1..=MAX_BUCKET_BYTES).contains(&name.len()) && !name.contains(char::is_whitespace)
}

fn is_region(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
