//! A received file with the options of its request, and the batch that it belongs to.

use adapters::postgres::NewBatch;
use chrono::Utc;
use domain::{BatchId, CallData, ChannelLayout, Granularity};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::upload::{Fields, Spooled};

/// Source of the batches that consoles make.
pub(crate) const SOURCE: &str = "console";
/// One recording to analyse.
pub(crate) struct Submission {
    /// The file.
    pub file: Spooled,
    /// Roles of the channels.
    pub channels: Option<ChannelLayout>,
    /// How fine.
    pub granularity: Granularity,
    /// Whether `embedding.npy` is written.
    pub embedding: bool,
    /// What is known of the call.
    pub call: CallData,
}

/// What a submission belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The batch.
    pub batch: NewBatch,
}

impl Origin {
    /// Single predictions: one batch a day.
    pub(crate) fn today() -> Self {
        Self::named(format!("console {}", Utc::now().format("%Y-%m-%d")))
    }

    /// Files of one upload, as a batch.
    pub(crate) fn together() -> Self {
        let now = Utc::now();
        Self::named(format!("upload {} {}", now.format("%Y-%m-%d %H:%M:%S"), &Uuid::new_v4().simple().to_string()[..6]))
    }

    /// The batch.
    pub(crate) fn id(&self) -> BatchId {
        self.batch.id
    }

    fn named(name: String) -> Self {
        Self { batch: NewBatch { id: BatchId::from_name(&name), name, source: SOURCE.into() } }
    }
}

impl Submission {
    /// The file with the options of its request; embeddings are stored unless declined.
    pub(crate) fn new(file: Spooled, fields: &Fields) -> Self {
        Self {
            file,
            channels: fields.channels.clone(),
            granularity: fields.granularity.unwrap_or_default(),
            embedding: fields.embedding.unwrap_or(true),
            call: fields.call.clone(),
        }
    }

    /// Differs for another request with the same idempotency key.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let options = serde_json::json!([self.channels, self.granularity, self.embedding, self.call]);
        Sha256::new().chain_update(self.file.sha256).chain_update(options.to_string()).finalize().into()
    }
}
