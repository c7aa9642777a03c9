//! Batches and their progress.

use adapters::postgres;
use adapters::postgres::console::BatchRow;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

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
