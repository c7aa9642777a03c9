//! Analyses: the state of a job and, once done, its result.

use adapters::postgres::Status;
use adapters::postgres::console::AnalysisRow;
use chrono::{DateTime, Utc};
use domain::{Emotion, Failure};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Links, NineScores, Recording};

/// An analysis: where the job stands and, once done, what it found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Analysis {
    /// The job; also the analysis' identity.
    pub job_id: Uuid,
    /// `queued`, `running`, `retrying`, `done` or `failed`.
    #[schema(example = "done")]
    pub status: &'static str,
    /// Likeliest emotion; null until done, like the next three, and for recordings without speech (then `speech_s` is 0).
    pub emotion: Option<&'static str>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// Nine probabilities that sum to 1.
    pub scores: Option<NineScores>,
    /// Seconds of speech on the scored channels.
    pub speech_s: Option<f64>,
    /// Codes of what makes the result worth less, like `channels.not_separated`.
    pub warnings: Vec<String>,
    /// Why it failed, or was last retried.
    pub failure: Option<FailureBody>,
    /// Model asked for.
    pub model: String,
    /// Version of the model that answered.
    pub model_version: Option<String>,
    /// As asked for: channels, granularity, embedding.
    #[schema(value_type = Object)]
    pub options: Value,
    /// When the call began; when that is not known, when the job was submitted.
    pub called_at: DateTime<Utc>,
    /// When the job was made.
    pub submitted_at: DateTime<Utc>,
    /// When the latest attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was done or failed.
    pub finished_at: Option<DateTime<Utc>>,
    /// Transient failures so far.
    pub retries: u32,
    /// Worker of the latest attempt.
    pub worker: Option<String>,
    /// Milliseconds by stage; null until done.
    #[schema(value_type = Option<Object>)]
    pub timings: Option<Value>,
    /// Batch; null once it is deleted.
    pub batch_id: Option<Uuid>,
    /// The recording.
    pub recording: Recording,
    /// Addresses below this server.
    pub links: Links,
}

/// Why a job failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FailureBody {
    /// Stable code.
    #[schema(example = "audio.no_speech")]
    pub code: &'static str,
    /// What to do.
    pub advice: &'static str,
}

impl From<&Failure> for FailureBody {
    fn from(failure: &Failure) -> Self {
        Self { code: failure.code.code(), advice: failure.code.advice() }
    }
}

impl From<AnalysisRow> for Analysis {
    fn from(row: AnalysisRow) -> Self {
        let done = row.status == Status::Done;
        Self {
            job_id: row.job_id.0,
            status: row.status.label(),
            emotion: row.emotion.map(Emotion::label),
            confidence: row.confidence,
            scores: row.scores.map(Into::into),
            speech_s: row.speech_s,
            warnings: row.warnings,
            failure: if done { None } else { row.failure.as_ref().map(Into::into) },
            model: row.model_name,
            model_version: row.model_version,
            options: row.options,
            called_at: row.called_at,
            submitted_at: row.submitted_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            retries: row.retries,
            worker: row.worker,
            timings: row.timings,
            batch_id: row.batch_id.map(|batch| batch.0),
            recording: row.recording.into(),
            links: Links::of(row.job_id, row.artifacts.as_ref()),
        }
    }
}
