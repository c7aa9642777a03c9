//! The job message: one recording to analyse. Versioned; golden files pin each version.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CallData, ChannelLayout, Failure, FailureCode};

/// The version this code writes.
pub const VERSION: u32 = 1;
/// Longest job message accepted, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest object key S3 allows, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;
/// Longest value of a call-data field, in bytes of UTF-8.
pub const MAX_FIELD_BYTES: usize = 1024;
/// Longest name of a bucket, in bytes: what the oldest of S3's rules allowed.
pub const MAX_BUCKET_BYTES: usize = 255;
/// Longest etag, in bytes; stores write 32 to about 70.
pub const MAX_ETAG_BYTES: usize = 256;
/// Most free attributes of a call.
pub const MAX_ATTRIBUTES: usize = 64;

/// Namespace of the project's UUIDv5 identifiers.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0c_6f0a_3b1e_4c55_9f4e_e307_1f1e_e701);

/// Identity of a job: UUIDv5 of bucket, key, etag, model and options, so that enqueuing the
/// same thing twice is one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

/// Identity of a batch: UUIDv5 of its name, so that enqueuing a source again continues its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(pub Uuid);

impl BatchId {
    /// The batch of this name.
    pub fn from_name(name: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("batch:{name}").as_bytes()))
    }
}

impl JobId {
    /// The identity of a job on this object with these options.
    pub fn of(object: &ObjectRef, options: &AnalysisOptions) -> Self {
        let AnalysisOptions { channels, granularity, embedding, model } = options;
        let identity = serde_json::json!([
            object.bucket,
            object.key,
            object.etag,
            model,
            channels,
            granularity.label(),
            embedding
        ]);
        Self(Uuid::new_v5(&NAMESPACE, format!("job:{identity}").as_bytes()))
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for BatchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the recording is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Bucket, on the operator's own store: no job can choose an endpoint.
    pub bucket: String,
    /// Key, at most [`MAX_KEY_BYTES`].
    pub key: String,
    /// The version meant, without quotes. The worker refuses another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

crate::label_enum! {
    /// How fine the result is.
    #[derive(Default)]
    pub enum Granularity: "granularity" {
        /// Scores per segment and recording.
        #[default]
        Utterance = "utterance",
        /// Also nine scores for each frame (50 a second).
        Frame = "frame",
    }
}

/// How a recording is analysed: part of the job, and of its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalysisOptions {
    /// Roles of the channels; absent: the worker's configuration decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelLayout>,
    /// How fine the result is.
    #[serde(default)]
    pub granularity: Granularity,
    /// Whether `embedding.npy` is written.
    #[serde(default = "yes")]
    pub embedding: bool,
    /// Model name; must be the `name` of the worker's `model.json`.
    pub model: String,
}

/// One recording to analyse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Message version, [`VERSION`].
    pub v: u32,
    /// Identity; also the AMQP `message_id`.
    pub job_id: JobId,
    /// The batch it was enqueued with.
    pub batch_id: BatchId,
    /// The recording.
    pub object: ObjectRef,
    /// What is known of the call.
    #[serde(default)]
    pub call: CallData,
    /// How it is analysed.
    #[serde(flatten)]
    pub options: AnalysisOptions,
    /// Longest recording that the sender wants analysed, seconds; the worker's own limit may be shorter. No part of
    /// the job's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<u32>,
    /// When the producer made it.
    pub submitted_at: DateTime<Utc>,
}

fn yes() -> bool {
    true
}

impl Job {
    /// A job of the current version; its identity follows from object and options.
    pub fn new(
        batch_id: BatchId,
        object: ObjectRef,
        call: CallData,
        options: AnalysisOptions,
        submitted_at: DateTime<Utc>,
    ) -> Self {
        let job_id = JobId::of(&object, &options);
        Self { v: VERSION, job_id, batch_id, object, call, options, max_seconds: None, submitted_at }
    }

    /// The message body.
    ///
    /// # Panics
    /// Never: a job has only string keys and finite numbers.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a job has only string keys and finite numbers")
    }

    /// Reads a message body.
    ///
    /// # Errors
    /// A [`Failure`] with `job.unreadable`, `job.unknown_version` or `job.invalid`.
    pub fn from_json(body: &[u8]) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(Failure::new(
                FailureCode::JobUnreadable,
                format!("the message has {} bytes; a job has at most {MAX_MESSAGE_BYTES}", body.len()),
            ));
        }
        let unreadable = |e: serde_json::Error| {
            Failure::new(FailureCode::JobUnreadable, format!("not a job: {}", without_value(&e.to_string())))
        };
        let Version { v } = serde_json::from_slice(body).map_err(unreadable)?;
        if v != VERSION {
            return Err(Failure::new(
                FailureCode::JobUnknownVersion,
                format!("job version {v}; this worker reads version {VERSION}"),
            ));
        }
        let job: Self = serde_json::from_slice(body).map_err(unreadable)?;
        job.validate()?;
        Ok(job)
    }

    /// Reads a message body that came from a queue, and verifies that its `job_id` follows from what it says: a message
    /// with the id of another job must not reach that job's row or artifacts.
    ///
    /// # Errors
    /// As [`Self::from_json`]; `job.identity_mismatch`.
    pub fn received(body: &[u8]) -> Result<Self, Failure> {
        let job = Self::from_json(body)?;
        let identity = JobId::of(&job.object, &job.options);
        if job.job_id == identity {
            return Ok(job);
        }
        Err(Failure::new(
            FailureCode::JobIdentityMismatch,
            format!("`job_id` is {}, but object, model and options give {identity}", job.job_id),
        ))
    }

    /// Checks the limits of the contract.
    ///
    /// # Errors
    /// A [`Failure`] with `job.invalid` that names the field.
    pub fn validate(&self) -> Result<(), Failure> {
        self.object.validate()?;
        self.call.validate()?;
        text("model", &self.options.model)?;
        time("submitted_at", self.submitted_at)
    }
}

impl ObjectRef {
    /// Checks the limits of the contract.
    ///
    /// # Errors
    /// A [`Failure`] with `job.invalid` that names the field.
    pub fn validate(&self) -> Result<(), Failure> {
        if self.bucket.is_empty() {
            return invalid("the object has no bucket");
        }
        let etag = self.etag.as_deref().unwrap_or_default();
        for (field, value, most) in
            [("object.bucket", self.bucket.as_str(), MAX_BUCKET_BYTES), ("object.etag", etag, MAX_ETAG_BYTES)]
        {
            text_of(field, value, most)?;
        }
        Self::validate_key(&self.key)
    }

    /// Checks a key alone, where the bucket is not known yet.
    ///
    /// # Errors
    /// A [`Failure`] with `job.invalid`.
    pub fn validate_key(key: &str) -> Result<(), Failure> {
        if key.is_empty() {
            return invalid("the object has no key");
        }
        text_of("object.key", key, MAX_KEY_BYTES)
    }
}

impl CallData {
    /// Checks the limits of the contract.
    ///
    /// # Errors
    /// A [`Failure`] with `job.invalid` that names the field.
    pub fn validate(&self) -> Result<(), Failure> {
        let Self { call_id, agent, team, customer, started_at, attributes } = self;
        if let Some(started_at) = started_at {
            time("call.started_at", *started_at)?;
        }
        if attributes.len() > MAX_ATTRIBUTES {
            return invalid(format!("{} attributes; at most {MAX_ATTRIBUTES}", attributes.len()));
        }
        let named =
            [("call.call_id", call_id), ("call.agent", agent), ("call.team", team), ("call.customer", customer)];
        for (field, value) in named {
            text(field, value.as_deref().unwrap_or_default())?;
        }
        attributes.iter().flat_map(|(name, value)| [name, value]).try_for_each(|value| text("call.attributes", value))
    }
}

fn invalid(what: impl Into<String>) -> Result<(), Failure> {
    Err(Failure::new(FailureCode::JobInvalid, what))
}

fn text(field: &str, value: &str) -> Result<(), Failure> {
    text_of(field, value, MAX_FIELD_BYTES)
}

fn text_of(field: &str, value: &str, most: usize) -> Result<(), Failure> {
    // Postgres' type text can't hold NUL; refusing it here keeps every later place simple.
    if value.contains('\0') {
        return invalid(format!("{field} contains a NUL character"));
    }
    if value.len() > most {
        return invalid(format!("{field} has {} bytes; at most {most}", value.len()));
    }
    Ok(())
}

fn time(field: &str, time: DateTime<Utc>) -> Result<(), Failure> {
    // Postgres can't hold every year that Rust can, and no call is that old.
    if (1..=9999).contains(&time.year()) {
        return Ok(());
    }
    invalid(format!("{field} is outside the years 1 to 9999"))
}

/// An error of the JSON parser without the value that it quotes: that may be a telephone number, and the error is logged.
fn without_value(error: &str) -> String {
    match (error.split_once(": "), error.rsplit_once(", expected ")) {
        (Some((what, _)), Some((_, expected))) if what.starts_with("invalid ") => {
            format!("{what}, expected {expected}")
        }
        (_, Some((what, expected))) if what.starts_with("unknown variant ") => {
            format!("unknown variant, expected {expected}")
        }
        _ => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(key: &str, granularity: Granularity) -> Job {
        let object = ObjectRef { bucket: "calls".into(), key: key.into(), etag: Some("abc".into()) };
        let options = AnalysisOptions { model: "m".into(), channels: None, granularity, embedding: true };
        Job::new(BatchId::from_name("b"), object, CallData::default(), options, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn the_same_object_and_options_are_one_job() {
        assert_eq!(job("a", Granularity::Utterance).job_id, job("a", Granularity::Utterance).job_id);
        assert_ne!(job("a", Granularity::Utterance).job_id, job("b", Granularity::Utterance).job_id);
        assert_ne!(job("a", Granularity::Utterance).job_id, job("a", Granularity::Frame).job_id);
    }

    #[test]
    fn a_job_survives_the_wire() {
        let job = job("通话 1.wav", Granularity::Frame);
        assert_eq!(Job::from_json(&job.to_json()), Ok(job));
    }

    #[test]
    fn what_is_said_of_an_unreadable_message_quotes_none_of_its_values() {
        let mut message: serde_json::Value =
            serde_json::from_slice(&job("a", Granularity::Utterance).to_json()).expect("JSON");
        let refused = |message: &serde_json::Value| {
            let body = serde_json::to_vec(message).expect("JSON");
            Job::from_json(&body).expect_err("it is no job").message
        };
        message["call"]["customer"] = 13_800_138_000_u64.into();
        let said = refused(&message);
        assert!(said.contains("expected a string") && !said.contains("13800138000"), "{said}");
        message["call"]["customer"] = serde_json::Value::Null;
        message["granularity"] = "13800138000, expected".into();
        let said = refused(&message);
        assert!(said.contains("unknown variant") && !said.contains("13800138000"), "{said}");
        message["object"] = serde_json::json!({});
        assert!(refused(&message).contains("missing field `bucket`"));
    }

    #[test]
    fn a_message_with_the_id_of_another_job_is_refused() {
        let (mine, other) = (job("a", Granularity::Utterance), job("b", Granularity::Utterance));
        assert_eq!(Job::received(&mine.to_json()), Ok(mine.clone()));
        let changes: [fn(&mut Job); 6] = [
            |job| job.object.key.push('x'),
            |job| job.object.bucket.push('x'),
            |job| job.object.etag = None,
            |job| job.options.model.push('x'),
            |job| job.options.embedding = false,
            |job| job.options.channels = Some(crate::ChannelLayout::Mix),
        ];
        for change in changes {
            let mut changed = mine.clone();
            change(&mut changed);
            let refused = Job::received(&changed.to_json()).expect_err("must be refused");
            assert_eq!(refused.code, FailureCode::JobIdentityMismatch);
        }
        let stolen = Job { job_id: other.job_id, ..mine };
        assert!(Job::received(&stolen.to_json()).is_err());
    }

    #[test]
    fn what_is_no_job_is_refused_with_its_code() {
        let refused = |body: &[u8]| Job::from_json(body).expect_err("must be refused").code;
        assert_eq!(refused(b"hello"), FailureCode::JobUnreadable);
        assert_eq!(refused(b"{\"v\":1}"), FailureCode::JobUnreadable);
        assert_eq!(refused(b"{\"v\":99}"), FailureCode::JobUnknownVersion);
        assert_eq!(refused(&vec![b' '; MAX_MESSAGE_BYTES + 1]), FailureCode::JobUnreadable);
        assert_eq!(refused(&job("a\0b", Granularity::Frame).to_json()), FailureCode::JobInvalid);
        assert_eq!(refused(&job(&"x".repeat(1025), Granularity::Frame).to_json()), FailureCode::JobInvalid);
        for year in [-9999, 0, 10_000] {
            let mut ancient = job("a", Granularity::Frame);
            ancient.call.started_at = DateTime::UNIX_EPOCH.with_year(year);
            assert_eq!(refused(&ancient.to_json()), FailureCode::JobInvalid, "{year}");
        }
        let mut wide = job("a", Granularity::Frame);
        wide.object.etag = Some("e".repeat(MAX_ETAG_BYTES + 1));
        assert_eq!(refused(&wide.to_json()), FailureCode::JobInvalid);
    }
}
