//! Jobs in progress: their states in one statement, and notes of workers at the moment they are made.

use domain::{Failure, JobId};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgListener, PgRow};
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::jobs::stored_failure;
use crate::postgres::rows::count;
use crate::postgres::{Database, Status, errors};

/// Channel of `NOTIFY` that carries [`ProgressNote`]s.
const CHANNEL: &str = "emofleet_progress";

/// The state of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobState {
    /// The job.
    pub job_id: JobId,
    /// Its state.
    pub status: Status,
    /// Worker of the latest attempt.
    pub worker: Option<String>,
    /// Transient failures so far.
    pub retries: u32,
    /// Why it failed, or was last retried.
    pub failure: Option<Failure>,
}

/// Where a job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The job.
    pub job_id: JobId,
    /// Its place among the jobs of all consoles for the same model that no worker has taken yet, from 1.
    pub place: u64,
    /// How many of those there are.
    pub waiting: u64,
}

/// How far a worker is with a job of the interactive lane. Only the display depends on its arrival.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgressNote {
    /// The job.
    pub job_id: JobId,
    /// The stage that begins: `fetch`, `analyze`, `upload`, `done`, `failed`.
    pub stage: String,
    /// Segments scored so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u32>,
    /// Segments found so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
}

/// Listens for progress notes over a connection of its own.
#[derive(Debug)]
pub struct ProgressNews(PgListener);

impl Database {
    /// The states of these jobs; those without a row are left out.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn job_states(&self, jobs: &[JobId]) -> Result<Vec<JobState>, Failure> {
        const STATES: &str = "SELECT job_id, status, worker, retries, failure_code, failure_message
            FROM analyses WHERE job_id = ANY($1) AND status <> 'deleting'";
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
        sqlx::query_as(STATES).bind(ids).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// The places of these jobs among those for the same model that consoles have submitted and no worker has taken; jobs
    /// that do not wait are left out. Jobs of the interactive lane that a producer enqueued are not counted.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn places(&self, jobs: &[JobId]) -> Result<Vec<Place>, Failure> {
        // Of a week: a batch has the uploads of one day.
        const PLACES: &str = "SELECT job_id, place, waiting FROM (
                SELECT a.job_id,
                       row_number() OVER (PARTITION BY a.model_name ORDER BY a.submitted_at, a.job_id) AS place,
                       count(*) OVER (PARTITION BY a.model_name) AS waiting
                  FROM batches b JOIN analyses a ON a.batch_id = b.id
                 WHERE b.source = 'console' AND b.created_at > now() - interval '7 days' AND a.status = 'queued') queue
            WHERE job_id = ANY($1)";
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
        sqlx::query_as(PLACES).bind(ids).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Sends a progress note to every console that listens.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn note_progress(&self, note: &ProgressNote) -> Result<(), Failure> {
        let payload = serde_json::to_string(note).unwrap_or_default();
        let notify = || sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(&payload).execute(self.pool());
        repeated(notify).await.map(drop)
    }

    /// Begins to listen for progress notes.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn progress_news(&self) -> Result<ProgressNews, Failure> {
        let listen = async {
            let mut listener = PgListener::connect_with(self.pool()).await?;
            listener.listen(CHANNEL).await?;
            Ok(ProgressNews(listener))
        };
        listen.await.map_err(|e: sqlx::Error| errors::failure(&e))
    }
}

impl ProgressNews {
    /// Waits for the next note; `None` when the connection broke and was opened again, or the note is unreadable.
    ///
    /// # Errors
    /// `database.unreachable`: it can't be opened again.
    #[boxed]
    pub async fn next(&mut self) -> Result<Option<ProgressNote>, Failure> {
        let news = self.0.try_recv().await.map_err(|e| errors::failure(&e))?;
        Ok(news.and_then(|news| serde_json::from_str(news.payload()).ok()))
    }
}

impl FromRow<'_, PgRow> for Place {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { job_id: JobId(row.try_get("job_id")?), place: count(row, "place")?, waiting: count(row, "waiting")? })
    }
}

impl FromRow<'_, PgRow> for JobState {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let status: String = row.try_get("status")?;
        Ok(Self {
            job_id: JobId(row.try_get("job_id")?),
            status: Status::from_label(&status).ok_or_else(|| super::analyses::unknown("status"))?,
            worker: row.try_get("worker")?,
            retries: row.try_get::<i32, _>("retries")?.unsigned_abs(),
            failure: stored_failure(row, "failure_code", "failure_message")?,
        })
    }
}
