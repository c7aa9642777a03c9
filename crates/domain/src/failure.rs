//! Why a recording was not analysed: stable codes, as in the database and the dead letters. Each says whether a retry
//! can help, and what to do.

use serde::{Deserialize, Serialize};

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A service or machine is at fault: retried with growing delays, then dead-lettered.
    Transient,
    /// The recording or job itself is at fault: dead-lettered at once.
    Permanent,
}

macro_rules! failure_codes {
    ($( $variant:ident = $code:literal, $class:ident, $advice:literal; )*) => {
        /// A stable failure code. Its text never changes once released.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FailureCode { $( #[doc = $advice] $variant, )* }

        impl FailureCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The stable text, like `audio.unsupported_codec`.
            pub fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// Whether trying again can help.
            pub fn class(self) -> Class {
                match self { $( Self::$variant => Class::$class, )* }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self { $( Self::$variant => $advice, )* }
            }
        }
    };
}

failure_codes! {
    JobUnreadable = "job.unreadable", Permanent, "The message is not a job: look at who publishes to the queue.";
    JobUnknownVersion = "job.unknown_version", Permanent, "The job is newer than this worker: update the workers, then replay.";
    JobInvalid = "job.invalid", Permanent, "The job breaks a rule of the contract: correct the producer's input and enqueue again.";
    JobIdentityMismatch = "job.identity_mismatch", Permanent, "The message carries the id of another job: look at who publishes to the queue. No row and no object was touched.";
    JobKilledWorker = "job.killed_worker", Permanent, "Workers died on this recording each time: keep a copy of it and report it.";
    JobDeliveryLimit = "job.delivery_limit", Permanent, "RabbitMQ delivered the message too often without an answer: look at the workers' connections, then replay it.";
    JobExpired = "job.expired", Permanent, "The message waited longer than a policy of RabbitMQ allows: look at policies with `message-ttl`, then replay it.";
    JobQueueFull = "job.queue_full", Permanent, "The queue was longer than a policy of RabbitMQ allows: look at policies with `max-length`, then replay it.";
    JobSetAside = "job.set_aside", Permanent, "The message was dead-lettered by RabbitMQ or another program without a reason: look at it with `producer dlq show`, then replay it.";
    JobTimeout = "job.timeout", Transient, "The job took longer than `worker.job_timeout_s`: raise it, or look at the worker's load.";
    JobCancelled = "job.cancelled", Transient, "The worker was stopped before the job ended: it is handed to another one.";
    JobDeleted = "job.deleted", Permanent, "The call was deleted: nothing of it is kept. Enqueue it with `--force` if that was a mistake.";
    ObjectNotFound = "object.not_found", Permanent, "The object is gone from the bucket: upload it and enqueue it again.";
    ObjectChanged = "object.changed", Permanent, "The object was replaced after it was enqueued: enqueue it again.";
    ObjectTooLarge = "object.too_large", Permanent, "The object exceeds `audio.max_bytes`: raise the limit or split the recording.";
    StoreUnreachable = "store.unreachable", Transient, "The S3 store does not answer: check `s3.endpoint` and the store's health.";
    StoreDenied = "store.denied", Transient, "The S3 store refuses the credentials or the bucket: check keys and bucket policy.";
    StoreRefused = "store.refused", Permanent, "The S3 store refuses this request, not the credentials: look at the key, and at what the store answered.";
    AudioEmpty = "audio.empty", Permanent, "The file has no bytes: look at the recorder.";
    AudioNotAudio = "audio.not_audio", Permanent, "The content is no known audio format, whatever its name says.";
    AudioUnsupportedCodec = "audio.unsupported_codec", Permanent, "The codec is not supported: convert the recording, to FLAC or Opus say.";
    AudioBadHeader = "audio.bad_header", Permanent, "The header says something impossible, such as 0 Hz: look at the recorder.";
    AudioCorrupt = "audio.corrupt", Permanent, "The audio data can't be decoded: fetch the recording again from its source.";
    AudioTruncated = "audio.truncated", Permanent, "The file ends before its header says: upload it again, or set `audio.accept_truncated`.";
    AudioTooShort = "audio.too_short", Permanent, "The recording is shorter than the model's shortest input (25 ms).";
    AudioTooLong = "audio.too_long", Permanent, "The recording exceeds `audio.max_seconds`: raise the limit or split it.";
    AudioTooCostly = "audio.too_costly", Permanent, "Decoding takes far more processor time than sound of this length does: look at who makes such files, or raise `audio.decode_load`.";
    AudioTooManyChannels = "audio.too_many_channels", Permanent, "The recording exceeds `audio.max_channels`.";
    AudioNoSpeech = "audio.no_speech", Permanent, "There is no speech on the scored channels: silence, music or noise.";
    ChannelsMissing = "channels.missing", Permanent, "A role is given to a channel that the recording lacks: channels are counted from 0.";
    ChannelsNoneScored = "channels.none_scored", Permanent, "No channel has a role listed in `analysis.score_roles`: check the roles.";
    ModelMismatch = "model.mismatch", Transient, "The job asks for another model than this worker runs: start a worker with that model.";
    ModelFailed = "model.failed", Transient, "The model gave no usable answer: run `worker model check`.";
    ConfigInvalid = "config.invalid", Transient, "A setting is wrong: correct the one that the message names, then start again.";
    DatabaseUnreachable = "database.unreachable", Transient, "Postgres does not answer: check `postgres.url` and the server's health.";
    DatabaseNotMigrated = "database.not_migrated", Transient, "The tables are missing or older than this program: run `producer migrate`.";
    DatabaseRefused = "database.refused", Transient, "Postgres refuses: check user, password and database in `postgres.url`, and the user's privileges.";
    BrokerUnreachable = "broker.unreachable", Transient, "RabbitMQ does not answer: check `amqp.url` and the broker's health.";
    BrokerRefused = "broker.refused", Transient, "RabbitMQ refuses: check user, password and vhost in `amqp.url`, permissions, and queues of the same name.";
    WorkerNoSpace = "worker.no_space", Transient, "The worker's disk for temporary files is full: free space or set `worker.temp_dir`.";
    WorkerInternal = "worker.internal", Transient, "A defect of the worker: its log has the details.";
}

impl FailureCode {
    /// The code with this text.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.code() == code)
    }
}

impl std::fmt::Display for FailureCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.code())
    }
}

impl Serialize for FailureCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for FailureCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom(format!("unknown failure code `{code}`")))
    }
}

/// One job's failure: the code, and a sentence with this case's facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// The stable code.
    pub code: FailureCode,
    /// A sentence for people; no personal data, no secrets.
    pub message: String,
}

impl Failure {
    /// A failure with this case's facts in one sentence.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failure of the local disk: full, or a defect. `doing` says what was being done.
    pub fn disk(doing: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let code = match error.kind() {
            StorageFull | QuotaExceeded => FailureCode::WorkerNoSpace,
            _ => FailureCode::WorkerInternal,
        };
        Self::new(code, format!("{doing}: {error}"))
    }

    /// Whether trying again can help.
    pub fn class(&self) -> Class {
        self.code.class()
    }

    /// Whether a service does not answer, or its tables are not there yet, so that waiting for it can help. False when
    /// a service answers and refuses, and when a setting is wrong.
    pub fn is_unreachable(&self) -> bool {
        use FailureCode::{BrokerUnreachable, DatabaseNotMigrated, DatabaseUnreachable, StoreUnreachable};
        matches!(self.code, BrokerUnreachable | DatabaseNotMigrated | DatabaseUnreachable | StoreUnreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_read_back() {
        let texts: HashSet<_> = FailureCode::ALL.iter().map(|c| c.code()).collect();
        assert_eq!(texts.len(), FailureCode::ALL.len());
        for code in FailureCode::ALL {
            assert_eq!(FailureCode::from_code(code.code()), Some(*code));
            assert!(code.advice().ends_with('.'), "{code} has no full sentence of advice");
        }
    }
}
