//! The sections of `config/default.toml` that this crate reads, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use crate::artifacts::AudioFormat;
use crate::model::provider::Provider;
use domain::job::MAX_FIELD_BYTES;
use domain::report::ArtifactKind;
use domain::{Check, Role};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// Most threads and callers: more is a mistake.
const MOST_THREADS: usize = 1024;

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
    pub decode_load: f64,
    pub accept_truncated: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    pub vad_threshold: f32,
    pub scream_dbfs: f32,
    pub quiet_dbfs: f32,
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
    pub artifacts: BTreeSet<ArtifactKind>,
    pub audio_format: AudioFormat,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub dir: PathBuf,
    pub name: String,
    pub provider: Provider,
    pub callers: usize,
    pub threads: usize,
    pub batch_seconds: f64,
    pub batch_items: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    pub onnxruntime: PathBuf,
}

impl Audio {
    /// What the types can't express: ranges.
    pub fn checks(&self) -> Vec<Check> {
        vec![
            Check::range("audio.max_bytes", self.max_bytes, 1..=5 << 40, "bytes"),
            Check::range("audio.max_seconds", self.max_seconds, 1.0..=604_800.0, "seconds"),
            Check::range("audio.max_channels", self.max_channels, 1..=256, "channels"),
            Check::range(
                "audio.decode_load",
                self.decode_load,
                0.001..=10.0,
                "seconds of processor time for each second of sound",
            ),
        ]
    }
}

impl Analysis {
    /// What the types can't express.
    pub fn checks(&self) -> Vec<Check> {
        let result = self.artifacts.contains(&ArtifactKind::Result);
        vec![Check::new("analysis.artifacts", result, "must contain \"result\": rows and pages refer to it")]
    }
}

impl Segment {
    /// What the types can't express: ranges, and how keys depend on each other.
    pub fn checks(&self) -> Vec<Check> {
        vec![
            Check::range("segment.vad_threshold", self.vad_threshold, 0.16..=1.0, "as a probability"),
            Check::range("segment.scream_dbfs", self.scream_dbfs, -90.0..=0.0, "dB of full scale"),
            Check::range("segment.quiet_dbfs", self.quiet_dbfs, -90.0..=0.0, "dB of full scale"),
            Check::range("segment.min_silence_s", self.min_silence_s, 0.0..=10.0, "seconds"),
            Check::range("segment.min_speech_s", self.min_speech_s, 0.0..=10.0, "seconds"),
            Check::range("segment.padding_s", self.padding_s, 0.0..=5.0, "seconds"),
            Check::range("segment.target_min_s", self.target_min_s, 0.0..=30.0, "seconds"),
            Check::range("segment.target_max_s", self.target_max_s, 0.1..=30.0, "seconds"),
            Check::range("segment.hard_max_s", self.hard_max_s, 1.0..=30.0, "seconds"),
            Check::new(
                "segment.padding_s",
                2.0 * self.padding_s < self.hard_max_s,
                "must be less than half of hard_max_s: segments would be silence alone",
            ),
            Check::new(
                "segment.target_max_s",
                self.target_min_s <= self.target_max_s && self.target_max_s <= self.hard_max_s,
                "must be between target_min_s and hard_max_s",
            ),
        ]
    }
}

/// How a model is run on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// Threads that run the model at the same time, each a batch of its own.
    pub callers: usize,
    /// Threads of one run.
    pub threads: usize,
}

impl Model {
    /// `callers` and `threads`, with what they leave open taken from the processor cores of this process.
    pub fn concurrency(&self) -> Concurrency {
        self.concurrency_on(available_parallelism().map_or(1, usize::from))
    }

    fn concurrency_on(&self, cores: usize) -> Concurrency {
        let (callers, threads) = match (self.callers, self.threads) {
            (0, 0) => (cores, 1),
            (0, threads) => (cores / threads, threads),
            (callers, 0) => (callers, cores / callers),
            both => both,
        };
        Concurrency { callers: callers.clamp(1, self.provider.max_callers()), threads: threads.max(1) }
    }

    /// What the types can't express: ranges.
    pub fn checks(&self) -> Vec<Check> {
        vec![
            Check::new(
                "model.name",
                (1..=MAX_FIELD_BYTES).contains(&self.name.len()),
                "must be the `name` in model.json, of at most 1024 bytes",
            ),
            Check::range("model.callers", self.callers, 0..=MOST_THREADS, "runs at a time"),
            Check::range("model.threads", self.threads, 0..=MOST_THREADS, "threads"),
            Check::range("model.batch_items", self.batch_items, 1..=1024, "segments"),
            Check::range("model.batch_seconds", self.batch_seconds, 1.0..=86_400.0, "seconds"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_and_threads_share_the_cores() {
        let on_eight_cores = |callers, threads| {
            let model = Model { callers, threads, ..Settings::default().model };
            let Concurrency { callers, threads } = model.concurrency_on(8);
            (callers, threads)
        };
        let settings = [(0, 0), (0, 2), (0, 16), (2, 0), (16, 0), (3, 5)];
        assert_eq!(settings.map(|(c, t)| on_eight_cores(c, t)), [(8, 1), (4, 2), (1, 16), (2, 4), (16, 1), (3, 5)]);
    }
}
