//! What the API answers with.

use adapters::postgres::console::{AnalysisRow, BatchRow, RecordingRow, SegmentRow};
use adapters::postgres::{self, Status};
use chrono::{DateTime, Utc};
use domain::report::ChannelReport;
use domain::{CallData, Emotion, Failure, JobId, Report, Scores};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// The answer to a prediction: `result.json`, the segments of all channels in one list, and links.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Prediction {
    /// `result.json` as it was stored.
    #[serde(flatten)]
    pub report: ReportBody,
    /// All segments, by channel and time.
    pub segments: Vec<Segment>,
    /// Addresses below this server.
    pub links: Links,
}

/// The fields of `result.json`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ReportBody {
    /// Likeliest emotion over all scored speech.
    #[schema(example = "angry")]
    pub emotion: &'static str,
    /// Its probability.
    #[schema(example = 0.87)]
    pub confidence: f32,
    /// Nine probabilities that sum to 1, by label.
    pub scores: NineScores,
    /// `utterance` or `frame`.
    #[schema(example = "utterance")]
    pub granularity: &'static str,
    /// When the analysis ended.
    pub timestamp: DateTime<Utc>,
    /// The job; also the analysis' identity.
    pub job_id: Uuid,
    /// Its batch.
    pub batch_id: Uuid,
    /// What is known of the call.
    #[schema(value_type = Object)]
    pub call: CallData,
    /// Which model answered.
    #[schema(value_type = Object)]
    pub model: domain::ModelIdentity,
    /// What the recording is: container, codec, `sample_rate`, channels, `duration_s`, bytes.
    #[schema(value_type = Object)]
    pub audio: domain::report::AudioFacts,
    /// One entry per channel, scored or not.
    #[schema(value_type = Vec<Object>)]
    pub channels: Vec<ChannelReport>,
    /// Nine scores, 50 times a second; only with granularity `frame`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub frames: Option<domain::report::FrameSeries>,
    /// Milliseconds by stage.
    #[schema(value_type = Object)]
    pub timings: domain::report::Timings,
}

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

/// One stretch of speech.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Segment {
    /// Channel number from 0; null for the mix of all.
    pub channel: Option<u16>,
    /// `customer`, `agent`, `speaker` or `mixed`.
    pub role: &'static str,
    /// Number within the channel, from 0.
    pub index: u32,
    /// Seconds from the recording's beginning.
    pub start_s: f64,
    /// Seconds from the recording's beginning.
    pub end_s: f64,
    /// Likeliest emotion.
    pub emotion: &'static str,
    /// Its probability.
    pub confidence: f32,
    /// All nine.
    pub scores: NineScores,
}

/// Addresses below this server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Links {
    /// The analysis.
    #[serde(rename = "self")]
    pub this: String,
    /// The page for people.
    pub page: String,
    /// `processed_audio.wav`: what was scored, at 16 kHz.
    pub audio: String,
    /// `result.json`.
    pub json: String,
    /// `embedding.npy`; absent when none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npy: Option<String>,
    /// All of them in one archive.
    pub zip: String,
}

impl Links {
    /// The addresses of a job's results.
    pub(crate) fn of(job: JobId, embedding: bool) -> Self {
        let this = format!("/api/v1/analyses/{job}");
        Self {
            page: format!("/recognise/{job}"),
            audio: format!("{this}/artifacts/wav"),
            json: format!("{this}/artifacts/json"),
            npy: embedding.then(|| format!("{this}/artifacts/npy")),
            zip: format!("{this}/artifacts.zip"),
            this,
        }
    }
}

impl Prediction {
    /// Of a report, and whether an embedding is stored beside it.
    pub(crate) fn new(report: Report, embedding: bool) -> Self {
        let segments = report.channels.iter().flat_map(segments_of).collect();
        let links = Links::of(report.job_id, embedding);
        let report = ReportBody {
            emotion: report.emotion.label(),
            confidence: report.confidence,
            scores: report.scores.into(),
            granularity: report.granularity.label(),
            timestamp: report.timestamp,
            job_id: report.job_id.0,
            batch_id: report.batch_id.0,
            call: report.call,
            model: report.model,
            audio: report.audio,
            channels: report.channels,
            frames: report.frames,
            timings: report.timings,
        };
        Self { report, segments, links }
    }
}

fn segments_of(channel: &ChannelReport) -> impl Iterator<Item = Segment> + '_ {
    channel.segments.iter().map(|segment| Segment {
        channel: channel.channel,
        role: channel.role.label(),
        index: segment.index,
        start_s: segment.start_s,
        end_s: segment.end_s,
        emotion: segment.emotion.label(),
        confidence: segment.confidence,
        scores: segment.scores.into(),
    })
}

impl From<SegmentRow> for Segment {
    fn from(row: SegmentRow) -> Self {
        Self {
            channel: row.channel,
            role: row.role.label(),
            index: row.index,
            start_s: row.start_s,
            end_s: row.end_s,
            emotion: row.emotion.label(),
            confidence: row.confidence,
            scores: row.scores.into(),
        }
    }
}

/// An analysis: where the job stands and, once done, what it found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Analysis {
    /// The job; also the analysis' identity.
    pub job_id: Uuid,
    /// `queued`, `running`, `retrying`, `done` or `failed`.
    #[schema(example = "done")]
    pub status: &'static str,
    /// Likeliest emotion; null until done, like the next three.
    pub emotion: Option<&'static str>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// Nine probabilities that sum to 1.
    pub scores: Option<NineScores>,
    /// Seconds of speech on the scored channels.
    pub speech_s: Option<f64>,
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

/// A recording and what is known of its call.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Recording {
    /// Identity.
    pub id: Uuid,
    /// Name of the file.
    pub name: String,
    /// The call's own number.
    pub call_id: Option<String>,
    /// Agent.
    pub agent: Option<String>,
    /// Team of the agent.
    pub team: Option<String>,
    /// Customer.
    pub customer: Option<String>,
    /// When the call began.
    pub started_at: Option<DateTime<Utc>>,
    /// Everything else that is known of the call.
    pub attributes: BTreeMap<String, String>,
    /// Container, by content; null until analysed, like the next five.
    pub container: Option<String>,
    /// Codec.
    pub codec: Option<String>,
    /// Hz.
    pub sample_rate: Option<u32>,
    /// Channels.
    pub channels: Option<u16>,
    /// Seconds.
    pub duration_s: Option<f64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

/// The last part of a key.
pub(crate) fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

impl From<AnalysisRow> for Analysis {
    fn from(row: AnalysisRow) -> Self {
        let embedding = row.artifacts.as_ref().is_some_and(|artifacts| artifacts.embedding_key.is_some());
        let done = row.status == Status::Done;
        Self {
            job_id: row.job_id.0,
            status: row.status.label(),
            emotion: row.emotion.map(Emotion::label),
            confidence: row.confidence,
            scores: row.scores.map(Into::into),
            speech_s: row.speech_s,
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
            recording: Recording {
                id: row.recording_id,
                name: file_name(&row.key).to_owned(),
                call_id: row.call.call_id,
                agent: row.call.agent,
                team: row.call.team,
                customer: row.call.customer,
                started_at: row.call.started_at,
                attributes: row.call.attributes,
                container: row.container,
                codec: row.codec,
                sample_rate: row.sample_rate,
                channels: row.channels,
                duration_s: row.duration_s,
                bytes: row.bytes,
            },
            links: Links::of(row.job_id, embedding),
        }
    }
}

impl From<RecordingRow> for Recording {
    fn from(row: RecordingRow) -> Self {
        Self {
            id: row.id,
            name: file_name(&row.key).to_owned(),
            call_id: row.call.call_id,
            agent: row.call.agent,
            team: row.call.team,
            customer: row.call.customer,
            started_at: row.call.started_at,
            attributes: row.call.attributes,
            container: row.container,
            codec: row.codec,
            sample_rate: row.sample_rate,
            channels: row.channels,
            duration_s: row.duration_s,
            bytes: row.bytes,
        }
    }
}

/// A batch.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Batch {
    /// Identity.
    pub id: Uuid,
    /// As the operator calls it.
    pub name: String,
    /// Where the recordings came from.
    pub source: String,
    /// When it was first enqueued.
    pub created_at: DateTime<Utc>,
    /// How far it is; null in lists.
    pub progress: Option<BatchProgress>,
}

/// How far a batch is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BatchProgress {
    pub total: u64,
    pub queued: u64,
    pub running: u64,
    pub retrying: u64,
    pub done: u64,
    pub failed: u64,
}

impl Batch {
    /// A batch with its counts, if they were asked for.
    pub(crate) fn new(row: BatchRow, progress: Option<postgres::Progress>) -> Self {
        let progress = progress.map(|p| BatchProgress {
            total: p.total,
            queued: p.queued,
            running: p.running,
            retrying: p.retrying,
            done: p.done,
            failed: p.failed,
        });
        Self { id: row.id.0, name: row.name, source: row.source, created_at: row.created_at, progress }
    }
}

/// What is answered while a prediction is not done.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The job; also the analysis' identity.
    pub job_id: Uuid,
    /// `queued`.
    pub status: &'static str,
    /// Addresses below this server.
    pub links: Links,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give it as `after` for the next page; null on the last one.
    pub next: Option<String>,
}
