//! What the API answers with, a file for each resource.

mod analysis;
mod batch;
mod prediction;
mod recording;
mod segment;

pub(crate) use analysis::Analysis;
pub(crate) use batch::Batch;
pub(crate) use prediction::{Accepted, Prediction};
pub(crate) use recording::{Recording, file_name};
pub(crate) use segment::Segment;

use domain::report::Artifacts;
use domain::{JobId, Scores};
use serde::Serialize;
use speech::artifacts::AudioFormat;
use utoipa::ToSchema;

/// Nine probabilities, by label.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct NineScores {
    pub angry: f32,
    pub disgusted: f32,
    pub fearful: f32,
    pub happy: f32,
    pub neutral: f32,
    pub other: f32,
    pub sad: f32,
    pub surprised: f32,
    pub unknown: f32,
}

impl From<Scores> for NineScores {
    fn from(scores: Scores) -> Self {
        let [angry, disgusted, fearful, happy, neutral, other, sad, surprised, unknown] = *scores.as_array();
        Self { angry, disgusted, fearful, happy, neutral, other, sad, surprised, unknown }
    }
}

/// Addresses below this server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Links {
    /// The analysis.
    #[serde(rename = "self")]
    pub this: String,
    /// The page for people.
    pub page: String,
    /// `processed_audio.wav` or `processed_audio.flac`: what was scored, at 16 kHz; absent where workers don't keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// `result.json`.
    pub json: String,
    /// `embedding.npy`; absent when none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npy: Option<String>,
    /// All of them in one archive.
    pub zip: String,
}

impl Links {
    /// The addresses of a job's results; without `artifacts`, of a job that is not done yet.
    pub(crate) fn of(job: JobId, artifacts: Option<&Artifacts>) -> Self {
        let this = format!("/api/v1/analyses/{job}");
        // Before the job is done, nothing says in which format its worker will keep the audio.
        let audio = artifacts.map_or(Some("audio"), |artifacts| {
            let format = AudioFormat::of(artifacts.audio_key.as_ref()?);
            Some(format.map_or("audio", AudioFormat::label))
        });
        let embedding = artifacts.is_some_and(|artifacts| artifacts.embedding_key.is_some());
        Self {
            page: format!("/recognise/{job}"),
            audio: audio.map(|kind| format!("{this}/artifacts/{kind}")),
            json: format!("{this}/artifacts/json"),
            npy: embedding.then(|| format!("{this}/artifacts/npy")),
            zip: format!("{this}/artifacts.zip"),
            this,
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give it as `after` for the next page; null on the last one.
    pub next: Option<String>,
}
