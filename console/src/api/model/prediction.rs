//! Predictions: `result.json`, the segments and links.

use chrono::{DateTime, Utc};
use domain::report::{Artifacts, ChannelReport};
use domain::{CallData, Failure, FailureCode, Report, Warning};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::segment::segments_of;
use super::{Links, NineScores, Segment};

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
    /// What makes the result worth less: code, channels and a sentence each. Absent when nothing does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub warnings: Vec<Warning>,
    /// Nine scores, 50 times a second; only with granularity `frame`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub frames: Option<domain::report::FrameSeries>,
    /// Milliseconds by stage.
    #[schema(value_type = Object)]
    pub timings: domain::report::Timings,
}

impl Prediction {
    /// Of a report, and what is stored beside it.
    ///
    /// # Errors
    /// `audio.no_speech`: a prediction has an emotion. The analysis itself is done, and has none.
    pub(crate) fn new(report: Report, artifacts: &Artifacts) -> Result<Self, Failure> {
        let (Some(emotion), Some(confidence), Some(scores)) = (report.emotion, report.confidence, report.scores) else {
            let message = format!("no speech in {:.1} s of audio on the scored channels", report.audio.duration_s);
            return Err(Failure::new(FailureCode::AudioNoSpeech, message));
        };
        let segments = report.channels.iter().flat_map(segments_of).collect();
        let links = Links::of(report.job_id, Some(artifacts));
        let report = ReportBody {
            emotion: emotion.label(),
            confidence,
            scores: scores.into(),
            granularity: report.granularity.label(),
            timestamp: report.timestamp,
            job_id: report.job_id.0,
            batch_id: report.batch_id.0,
            call: report.call,
            model: report.model,
            audio: report.audio,
            channels: report.channels,
            warnings: report.warnings,
            frames: report.frames,
            timings: report.timings,
        };
        Ok(Self { report, segments, links })
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
