//! The result of an analysis: `result.json`. Its top-level keys are those of emotion2vec's own output.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    AnalysisOptions, BatchId, CallData, Emotion, Failure, Granularity, Job, JobId, ModelIdentity, ObjectRef, Role,
    Scores, Warning,
};

/// The result of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Most probable emotion over all scored speech; `null`, as the two below, when there is no speech.
    pub emotion: Option<Emotion>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// Mean of the segments' scores, weighted by their seconds.
    pub scores: Option<Scores>,
    /// How fine the result is.
    pub granularity: Granularity,
    /// When the analysis ended.
    pub timestamp: DateTime<Utc>,
    /// The job.
    pub job_id: JobId,
    /// Its batch.
    pub batch_id: BatchId,
    /// The recording.
    pub object: ObjectRef,
    /// What is known of the call.
    pub call: CallData,
    /// Which model predicted it.
    pub model: ModelIdentity,
    /// Properties of the recording.
    pub audio: AudioFacts,
    /// One entry per channel (or one for the mix), scored or not.
    pub channels: Vec<ChannelReport>,
    /// What makes the result worth less; absent when nothing does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Nine scores per frame; only with [`Granularity::Frame`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameSeries>,
    /// The 16 kHz copy of what was scored; absent where `analysis.artifacts` leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_audio: Option<AudioCopy>,
    /// Durations of the stages.
    pub timings: Timings,
}

/// The 16 kHz copy of the scored channels, an artifact beside `result.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioCopy {
    /// `processed_audio.wav` or `processed_audio.flac`.
    pub file: String,
    /// Why it is not of the format that `analysis.audio_format` names; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which recording a report is about, and for which job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The job.
    pub job_id: JobId,
    /// Its batch.
    pub batch_id: BatchId,
    /// The recording.
    pub object: ObjectRef,
    /// What is known of the call.
    pub call: CallData,
}

impl From<&Job> for Provenance {
    fn from(job: &Job) -> Self {
        Self { job_id: job.job_id, batch_id: job.batch_id, object: job.object.clone(), call: job.call.clone() }
    }
}

impl Provenance {
    /// A local file, without a job; its identity follows from path and options.
    pub fn local_file(path: &str, options: &AnalysisOptions) -> Self {
        let object = ObjectRef { bucket: "file".into(), key: path.to_owned(), etag: None };
        let job_id = JobId::of(&object, options);
        Self { job_id, batch_id: BatchId::from_name("analyze"), object, call: CallData::default() }
    }
}

/// Properties of the recording, as found by its content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// Container, like `wav` or `mp4`.
    pub container: String,
    /// Codec, like `pcm_s16le` or `opus`. Of several audio tracks, the first that holds sound.
    pub codec: String,
    /// Hz, of the file. Of several audio tracks, the first that holds sound.
    pub sample_rate: u32,
    /// How many channels the file has, in all its audio tracks.
    pub channels: u16,
    /// Seconds, by the samples that were decoded. Of several audio tracks, until the last one ends.
    pub duration_s: f64,
    /// Size of the file.
    pub bytes: u64,
    /// Packets that could not be decoded and were replaced by silence.
    #[serde(default)]
    pub bad_packets: u64,
    /// The file's audio tracks and their channels, in file order; empty where there is only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<AudioTrackFacts>,
}

/// One of several audio tracks of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AudioTrackFacts {
    /// Numbers of its channels, among those of all tracks. One number for a track that can't be decoded.
    pub channels: Vec<u16>,
    /// Codec, like `aac`; absent when it can't be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Hz, of the track. Where nothing was decoded, what its headers declare; absent (0) where they don't say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sample_rate: u32,
    /// Seconds from the recording's beginning to the track's.
    pub start_s: f64,
    /// Seconds, by the samples that were decoded.
    pub duration_s: f64,
    /// Why the track can't be decoded; the others are analysed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The prediction for one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelReport {
    /// Channel number from 0; absent for the mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
    /// Who speaks.
    pub role: Role,
    /// False: left out by the operator's policy, or of a track that can't be decoded; then the fields below are empty.
    pub scored: bool,
    /// Level of the loudest second of the file's sound, dB of full scale (root mean square); absent for digital
    /// silence, and for channels that are not scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level_dbfs: Option<f32>,
    /// Seconds of speech found.
    pub speech_s: f64,
    /// Mean over the channel's segments, weighted by seconds; absent without speech.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
    /// In order of time.
    pub segments: Vec<Segment>,
}

/// One segment of speech.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Number within the channel, from 0.
    pub index: u32,
    /// Seconds from the recording's beginning.
    pub start_s: f64,
    /// Seconds from the recording's beginning.
    pub end_s: f64,
    /// Most probable emotion.
    pub emotion: Emotion,
    /// Its probability.
    pub confidence: f32,
    /// All nine.
    pub scores: Scores,
}

impl Segment {
    /// Seconds.
    pub fn duration_s(&self) -> f64 {
        self.end_s - self.start_s
    }
}

/// Nine scores per frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameSeries {
    /// Frames a second.
    pub rate: u32,
    /// Column order of the scores.
    pub labels: [Emotion; Emotion::COUNT],
    /// One entry per scored segment, by channel, then time.
    pub segments: Vec<SegmentFrames>,
}

/// The frames of one segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentFrames {
    /// Channel number from 0; absent for the mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
    /// The segment's number within the channel.
    pub index: u32,
    /// Seconds from the recording's beginning to the first frame.
    pub start_s: f64,
    /// Shape `[frames][9]`.
    pub scores: Vec<[f32; Emotion::COUNT]>,
}

/// Durations of a job's stages, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From the producer's message to the worker's start.
    pub queued_ms: f64,
    /// Fetching the object.
    pub fetch_ms: f64,
    /// From the file to segments, waiting for the model left out: decoding, resampling, voice activity, and writing the
    /// 16 kHz copy.
    pub preprocess_ms: f64,
    /// Of `preprocess_ms`: decoding, and selecting channels.
    #[serde(default)]
    pub decode_ms: f64,
    /// Of `preprocess_ms`: resampling to 16 kHz.
    #[serde(default)]
    pub resample_ms: f64,
    /// Of `preprocess_ms`: voice activity detection, and cutting into segments.
    #[serde(default)]
    pub vad_ms: f64,
    /// Waiting for predictions with nothing else to do. Less than `model_ms` where the model ran while the recording was still
    /// being decoded, more where it ran other jobs' segments.
    pub infer_ms: f64,
    /// Running the model on this job's segments, summed up over all callers; of a batch with other jobs' segments, the share
    /// by length.
    #[serde(default)]
    pub model_ms: f64,
    /// Writing and uploading the artifacts.
    pub upload_ms: f64,
    /// The whole job so far, from its start on the worker.
    pub total_ms: f64,
}

/// A file that an analysis leaves beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// `result.json`.
    Result,
    /// `processed_audio.wav` or `processed_audio.flac`.
    Audio,
    /// `embedding.npy`.
    Embedding,
}

impl Artifacts {
    /// The keys of all of them.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        [Some(&self.result_key), self.audio_key.as_ref(), self.embedding_key.as_ref()].into_iter().flatten()
    }
}

/// Where a job's artifacts are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// Bucket of all of them.
    pub bucket: String,
    /// Key of `result.json`.
    pub result_key: String,
    /// Key of `processed_audio.wav` or `processed_audio.flac`; absent where `analysis.artifacts` leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_key: Option<String>,
    /// Key of `embedding.npy`; absent when the job asked for none, without speech, and where `analysis.artifacts` leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_key: Option<String>,
}
