//! Progress of batches.

use chrono::{DateTime, Utc};
use domain::{BatchId, Failure, JobId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::register::JOBS_PER_CHUNK;
use super::status::Status;
use crate::boxed;
use crate::postgres::rows::count;
use crate::postgres::{Database, errors};

/// Progress of a batch: how many jobs are in which state, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All jobs of the batch.
    pub total: u64,
    /// Not begun.
    pub queued: u64,
    /// Begun by a worker.
    pub running: u64,
    /// Waiting for a retry.
    pub retrying: u64,
    /// Scored.
    pub done: u64,
    /// Failed.
    pub failed: u64,
    /// Of those scored: their latest repetition failed, and the result is the earlier one.
    pub repeats_failed: u64,
    /// When the oldest job not yet begun was submitted.
    pub oldest_queued_at: Option<DateTime<Utc>>,
    /// When a worker first began one.
    pub first_started_at: Option<DateTime<Utc>>,
    /// When the last one so far ended.
    pub last_finished_at: Option<DateTime<Utc>>,
}

impl Progress {
    /// Done or failed.
    pub fn ended(&self) -> u64 {
        self.done + self.failed
    }

    /// Whether every job has ended.
    pub fn is_complete(&self) -> bool {
        self.ended() == self.total
    }
}

/// A batch in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSummary {
    /// Identity.
    pub id: BatchId,
    /// As the operator calls it.
    pub name: String,
    /// Where the keys came from.
    pub source: String,
    /// When it was first enqueued.
    pub created_at: DateTime<Utc>,
    /// All jobs.
    pub total: u64,
    /// Scored.
    pub done: u64,
    /// Failed.
    pub failed: u64,
}

impl Database {
    /// Progress of a batch; all zero when there is no such batch.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn batch_progress(&self, batch: &BatchId) -> Result<Progress, Failure> {
        self.batch_progress_of(batch, None).await
    }

    /// The same of recordings of one team; `None`: of all.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn batch_progress_of(&self, batch: &BatchId, team: Option<&str>) -> Result<Progress, Failure> {
        const PROGRESS: &str = include_str!("progress.sql");
        let progress = sqlx::query_as(PROGRESS).bind(batch.0).bind(team).fetch_one(self.pool()).await;
        progress.map_err(|e| errors::failure(&e))
    }

    /// How many jobs for this model are queued, retried or in work.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn open_jobs(&self, model: &str) -> Result<u64, Failure> {
        const OPEN: &str = include_str!("open.sql");
        let open: Result<i64, _> = sqlx::query_scalar(OPEN).bind(model).fetch_one(self.pool()).await;
        open.map(|count| count.try_into().unwrap_or_default()).map_err(|e| errors::failure(&e))
    }

    /// Models for which jobs are queued, retried or in work, by name.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn open_models(&self) -> Result<Vec<String>, Failure> {
        const MODELS: &str = include_str!("open_models.sql");
        sqlx::query_scalar(MODELS).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// How many jobs of a batch are queued, retried or in work, for each model that has some.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn open_jobs_of(&self, batch: &BatchId) -> Result<Vec<(String, u64)>, Failure> {
        const OPEN: &str = include_str!("open_of_batch.sql");
        let open: Result<Vec<(String, i64)>, _> = sqlx::query_as(OPEN).bind(batch.0).fetch_all(self.pool()).await;
        let open = open.map_err(|e| errors::failure(&e))?;
        Ok(open.into_iter().map(|(model, jobs)| (model, jobs.unsigned_abs())).collect())
    }

    /// The states of these jobs, in no order; with `other_than` only of those that are not of this batch. Jobs without a row,
    /// and those that are being deleted, are left out.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn states(&self, jobs: &[JobId], other_than: Option<&BatchId>) -> Result<Vec<(JobId, Status)>, Failure> {
        const STATES: &str = "SELECT job_id, state FROM analyses
             WHERE job_id = ANY($1) AND ($2::uuid IS NULL OR batch_id IS DISTINCT FROM $2)";
        let other_than = other_than.map(|batch| batch.0);
        let mut states = Vec::new();
        for chunk in jobs.chunks(JOBS_PER_CHUNK * 4) {
            let ids: Vec<Uuid> = chunk.iter().map(|id| id.0).collect();
            let rows = sqlx::query_as(STATES).bind(&ids).bind(other_than).fetch_all(self.pool()).await;
            let rows: Vec<(Uuid, String)> = rows.map_err(|e| errors::failure(&e))?;
            states.extend(rows.into_iter().filter_map(|(id, state)| Some((JobId(id), Status::from_label(&state)?))));
        }
        Ok(states)
    }

    /// The newest batches first.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn batches(&self, limit: u32) -> Result<Vec<BatchSummary>, Failure> {
        self.summaries(limit, None).await
    }

    /// The newest batch.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn latest_batch(&self) -> Result<Option<BatchSummary>, Failure> {
        Ok(self.summaries(1, None).await?.into_iter().next())
    }

    /// The batch with this name or id.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn find_batch(&self, name_or_id: &str) -> Result<Option<BatchSummary>, Failure> {
        let by_name = BatchId::from_name(name_or_id).0;
        for id in [Some(by_name), Uuid::parse_str(name_or_id).ok()].into_iter().flatten() {
            if let Some(batch) = self.summaries(1, Some(id)).await?.into_iter().next() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    async fn summaries(&self, limit: u32, only: Option<Uuid>) -> Result<Vec<BatchSummary>, Failure> {
        const BATCHES: &str = include_str!("batches.sql");
        let batches = sqlx::query_as(BATCHES).bind(i64::from(limit)).bind(only).fetch_all(self.pool()).await;
        batches.map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for Progress {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            total: count(row, "total")?,
            queued: count(row, "queued")?,
            running: count(row, "running")?,
            retrying: count(row, "retrying")?,
            done: count(row, "done")?,
            failed: count(row, "failed")?,
            repeats_failed: count(row, "repeats_failed")?,
            oldest_queued_at: row.try_get("oldest_queued_at")?,
            first_started_at: row.try_get("first_started_at")?,
            last_finished_at: row.try_get("last_finished_at")?,
        })
    }
}

impl FromRow<'_, PgRow> for BatchSummary {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: BatchId(row.try_get("id")?),
            name: row.try_get("name")?,
            source: row.try_get("source")?,
            created_at: row.try_get("created_at")?,
            total: count(row, "total")?,
            done: count(row, "done")?,
            failed: count(row, "failed")?,
        })
    }
}
