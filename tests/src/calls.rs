//! Made-up calls: a job and the report it would have led to, without audio.

use adapters::boxed;
use adapters::postgres::{AttemptToken, Database, NewBatch, RecordOutcome, Review};
use chrono::{DateTime, TimeDelta, Utc};
use domain::alert::{Rulebook, Subject};
use domain::report::{Artifacts, AudioCopy, AudioFacts, ChannelReport, Segment, Timings};
use domain::{
    AnalysisOptions, BatchId, CallData, Emotion, Failure, Granularity, Job, JobId, ModelIdentity, ObjectRef, Report,
    Role, Scores,
};

/// When [`Call::angry`] began.
pub const MARCH: &str = "2025-03-14T09:00:00Z";

/// A batch to register calls in.
pub fn batch(name: &str) -> NewBatch {
    NewBatch { id: BatchId::from_name(name), name: name.into(), source: "s3://calls/".into() }
}

/// A call of two channels: the agent on 0, unscored, the customer on 1.
#[derive(Debug, Clone)]
pub struct Call {
    /// Object key; the call id is the same without `.wav`.
    pub key: String,
    /// Call data.
    pub data: CallData,
    /// Name of the batch.
    pub batch: String,
    /// Name of the model.
    pub model: String,
    /// The customer's timeline: seconds, emotion, its probability.
    pub timeline: Vec<(f64, Emotion, f32)>,
}

impl Call {
    /// A call without data about it, in which the customer says nothing yet.
    pub fn new(key: &str) -> Self {
        let call_id = Some(key.trim_end_matches(".wav").to_string());
        Self {
            key: key.into(),
            data: CallData { call_id, ..CallData::default() },
            batch: "night".into(),
            model: "emofleet-small".into(),
            timeline: Vec::new(),
        }
    }

    /// A customer of team 7 who is angry after four seconds: three segments.
    pub fn angry(key: &str) -> Self {
        Self::new(key).by("7", "a1", "c1", MARCH).with_timeline(&[
            (4.0, Emotion::Neutral, 0.9),
            (4.0, Emotion::Angry, 0.8),
            (4.0, Emotion::Angry, 0.7),
        ])
    }

    /// Who, and when.
    ///
    /// # Panics
    /// When the time is not written as RFC 3339.
    #[must_use]
    pub fn by(mut self, team: &str, agent: &str, customer: &str, started_at: &str) -> Self {
        self.data.team = Some(team.into());
        self.data.agent = Some(agent.into());
        self.data.customer = Some(customer.into());
        self.data.started_at = Some(started_at.parse().expect("a test's time is written as RFC 3339"));
        self
    }

    /// The customer's segments: one after the other, half a second apart.
    #[must_use]
    pub fn with_timeline(mut self, timeline: &[(f64, Emotion, f32)]) -> Self {
        self.timeline = timeline.to_vec();
        self
    }

    /// The same call, for another model.
    #[must_use]
    pub fn with_model(mut self, model: &str) -> Self {
        self.model = model.into();
        self
    }

    /// What a reviewer says of the call as a whole: sad.
    pub fn review(&self) -> Review {
        Review {
            job_id: Some(self.job().job_id),
            call_id: None,
            key: None,
            channel: None,
            segment: None,
            at_s: None,
            reviewer: "rita".into(),
            reviewed_at: None,
            emotion: Emotion::Sad,
            note: String::new(),
        }
    }

    /// The message.
    pub fn job(&self) -> Job {
        let object = ObjectRef { bucket: "calls".into(), key: self.key.clone(), etag: Some("e1".into()) };
        let options = AnalysisOptions {
            model: self.model.clone(),
            channels: None,
            granularity: Granularity::Utterance,
            embedding: true,
        };
        let submitted_at = self.data.started_at.map_or_else(Utc::now, |t| t + TimeDelta::hours(6));
        Job::new(BatchId::from_name(&self.batch), object, self.data.clone(), options, submitted_at)
    }

    /// The report, of an hour after the job was submitted.
    pub fn report(&self) -> Report {
        let job = self.job();
        let segments = self.segments();
        let scores = Scores::weighted_mean(segments.iter().map(|s| (s.scores, s.duration_s())));
        let speech_s = segments.iter().map(Segment::duration_s).sum();
        let (emotion, confidence) = scores.map(|scores| scores.top()).unzip();
        let agent = ChannelReport {
            channel: Some(0),
            role: Role::Agent,
            scored: false,
            level_dbfs: None,
            speech_s: 0.0,
            scores: None,
            segments: Vec::new(),
        };
        let duration_s = segments.last().map_or(1.0, |s| s.end_s + 1.0);
        Report {
            emotion,
            confidence,
            scores,
            granularity: job.options.granularity,
            timestamp: job.submitted_at + TimeDelta::hours(1),
            job_id: job.job_id,
            batch_id: job.batch_id,
            object: job.object,
            call: job.call,
            model: ModelIdentity { name: self.model.clone(), version: "1".into(), sha256: "00".repeat(32) },
            audio: AudioFacts {
                container: "wav".into(),
                codec: "pcm_s16le".into(),
                sample_rate: 8000,
                channels: 2,
                duration_s,
                bytes: (duration_s * 32_000.0) as u64,
                bad_packets: 0,
                tracks: Vec::new(),
            },
            channels: vec![
                agent,
                ChannelReport {
                    channel: Some(1),
                    role: Role::Customer,
                    scored: true,
                    level_dbfs: (speech_s > 0.0).then_some(-20.0),
                    speech_s,
                    scores,
                    segments,
                },
            ],
            warnings: Vec::new(),
            frames: None,
            processed_audio: Some(AudioCopy { file: "processed_audio.wav".into(), reason: None }),
            timings: Timings::default(),
        }
    }

    /// Artifact keys as the worker would choose them.
    pub fn artifacts(&self) -> Artifacts {
        let folder = self.job().job_id;
        Artifacts {
            bucket: "calls".into(),
            result_key: format!("emofleet/{folder}/result.json"),
            audio_key: Some(format!("emofleet/{folder}/processed_audio.wav")),
            embedding_key: Some(format!("emofleet/{folder}/embedding.npy")),
        }
    }

    /// Records the report with the alerts of these rules, as a worker does.
    ///
    /// # Errors
    /// What [`Database::record_done`] answers.
    #[boxed]
    pub async fn record(&self, database: &Database, rules: &Rulebook) -> Result<RecordOutcome, Failure> {
        let report = self.report();
        let matches = rules.matches(Subject::from(&report));
        database.begin_attempt(&self.job(), "w1").await?;
        let token = token(database, report.job_id).await;
        database.record_done(&report, &self.artifacts(), None, &matches, "w1", token).await
    }

    /// Records the report without alerts, for the attempt that began last.
    ///
    /// # Errors
    /// What [`Database::record_done`] answers.
    ///
    /// # Panics
    /// When no attempt has begun.
    #[boxed]
    pub async fn record_result(&self, database: &Database, worker: &str) -> Result<RecordOutcome, Failure> {
        let report = self.report();
        let token = token(database, report.job_id).await;
        database.record_done(&report, &self.artifacts(), None, &[], worker, token).await
    }

    fn segments(&self) -> Vec<Segment> {
        let mut start_s = 0.0;
        let mut segments = Vec::new();
        for (index, (seconds, emotion, probability)) in (0_u32..).zip(&self.timeline) {
            let scores = leaning(*emotion, *probability);
            segments.push(Segment {
                index,
                start_s,
                end_s: start_s + seconds,
                emotion: *emotion,
                confidence: *probability,
                scores,
            });
            start_s += seconds + 0.5;
        }
        segments
    }

    /// When the call began.
    ///
    /// # Panics
    /// When the call has no time.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.data.started_at.expect("the test gave the call a time")
    }
}

/// The token of the attempt that began last: what the worker that began it would hold.
///
/// # Panics
/// When no attempt has begun.
#[boxed]
pub async fn token(database: &Database, job: JobId) -> AttemptToken {
    let query = "SELECT attempt FROM analyses WHERE job_id = $1";
    let token: Option<uuid::Uuid> =
        sqlx::query_scalar(query).bind(job.0).fetch_one(database.pool()).await.expect("the test began the job");
    AttemptToken(token.expect("the test began an attempt"))
}

/// Scores with one emotion at `probability` (above a third); two others share the rest.
///
/// # Panics
/// When `probability` is none.
pub fn leaning(emotion: Emotion, probability: f32) -> Scores {
    let mut scores = [0.0; Emotion::COUNT];
    let others = [Emotion::Neutral, Emotion::Other, Emotion::Unknown].into_iter().filter(|e| *e != emotion);
    for other in others.take(2) {
        scores[other.index()] = (1.0 - probability) / 2.0;
    }
    scores[emotion.index()] = probability;
    Scores::from_probabilities(scores).expect("three numbers that sum to one")
}
