//! The sections of `config/default.toml` that this crate reads, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use crate::model::provider::Provider;
use domain::{Check, Role};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What turning a file into an analysis depends on.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    pub audio: Audio,
    pub segment: Segment,
    pub analysis: Analysis,
    pub model: Model,
    pub runtime: Runtime,
}

impl Default for Settings {
    /// The values of `config/default.toml`, which is built in.
    fn default() -> Self {
        toml::from_str(include_str!("../../../config/default.toml"))
            .expect("config/default.toml is valid: a test reads it")
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
    pub provider: Provider,
    pub threads: usize,
    pub batch_seconds: f64,
    pub batch_items: usize,
    pub batch_wait_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    pub onnxruntime: PathBuf,
}

impl Audio {
    /// What the types can't express: ranges.
    pub fn checks(&self) -> Vec<Check> {
        vec![Check::new("audio.max_channels", self.max_channels > 0, "must be at least 1")]
    }
}

impl Segment {
    /// What the types can't express: ranges, and how keys depend on each other.
    pub fn checks(&self) -> Vec<Check> {
        vec![
            Check::new(
                "segment.vad_threshold",
                (0.16..1.0).contains(&self.vad_threshold),
                "must be between 0.16 and 1",
            ),
            Check::new("segment.scream_dbfs", (-90.0..=0.0).contains(&self.scream_dbfs), "must be -90 to 0"),
            Check::new(
                "segment.target_max_s",
                self.target_min_s <= self.target_max_s && self.target_max_s <= self.hard_max_s,
                "must be between target_min_s and hard_max_s",
            ),
            Check::new("segment.hard_max_s", (1.0..=30.0).contains(&self.hard_max_s), "must be 1 to 30"),
        ]
    }
}

impl Model {
    /// What the types can't express: ranges.
    pub fn checks(&self) -> Vec<Check> {
        vec![Check::new("model.batch_items", self.batch_items > 0, "must be at least 1")]
    }
}
