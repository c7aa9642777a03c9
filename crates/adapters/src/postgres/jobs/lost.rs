//! Jobs whose messages are gone: found by their rows, and made again.

use chrono::{DateTime, Utc};
use domain::{AnalysisOptions, BatchId, CallData, Failure, Job, JobId, JobQueue, Lane, ObjectRef};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};
use std::time::Duration;
use uuid::Uuid;

use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, errors, text};

/// From when on an open job may be lost.
#[derive(Debug, Clone)]
pub struct LostQuery {
    /// Only jobs whose last recorded step was before this.
    pub before: DateTime<Utc>,
    /// Longest time of an attempt.
    pub attempt: Duration,
    /// Longest delay of a retry.
    pub retry: Duration,
    /// Each queue that is empty.
    pub empty_queues: Vec<JobQueue>,
    /// Whether no job waits for a retry.
    pub no_retries: bool,
}

/// An open job without a recorded step for a while: its message may be lost.
#[derive(Debug, Clone)]
pub struct Silent {
    /// The job.
    pub job_id: JobId,
    /// Its message, made again; `None` when the row does not give the same job.
    pub job: Option<Job>,
    /// Its lane.
    pub lane: Lane,
    /// The queues have no message for it.
    pub lost: bool,
}

/// A message of a job that was set aside.
#[derive(Debug, Clone)]
pub struct SetAside {
    /// The job.
    pub job: JobId,
    /// Why.
    pub failure: Failure,
    /// When its producer made it, where it can be read.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When it was set aside, where that is known.
    pub at: Option<DateTime<Utc>>,
}

impl Database {
    /// A page of open jobs without a recorded step for a while, by id: the first, or the one after another job.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn silent_jobs(
        &self,
        query: &LostQuery,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Silent>, Failure> {
        const LOST: &str = include_str!("lost.sql");
        let queues = query.empty_queues.iter().map(|queue| (queue.lane.label(), queue.model.as_str()));
        let (lanes, models): (Vec<_>, Vec<_>) = queues.unzip();
        sqlx::query_as(LOST)
            .bind(query.before)
            .bind(query.attempt.as_secs_f64())
            .bind(query.retry.as_secs_f64())
            .bind(after.map(|job| job.0))
            .bind(i64::from(limit))
            .bind(lanes)
            .bind(query.no_retries)
            .bind(models)
            .fetch_all(self.pool())
            .await
            .map_err(|e| errors::failure(&e))
    }

    /// Notes that a lost job was published again, if it is still as silent as it was found.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn mark_republished(&self, jobs: &[JobId]) -> Result<(), Failure> {
        const AGAIN: &str = "UPDATE analyses SET published_at = now()
            WHERE job_id = ANY($1) AND state IN ('queued', 'running', 'retrying')";
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
        repeated(|| sqlx::query(AGAIN).bind(&ids).execute(self.pool())).await.map(drop)
    }

    /// Gives a job that waits the failure of its message, which a worker refuses now. A good message of the job begins it
    /// all the same. Returns whether the job waited.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn set_aside(&self, job: JobId, failure: &Failure, by: &str) -> Result<bool, Failure> {
        let message = SetAside { job, failure: failure.clone(), submitted_at: None, at: None };
        self.end_set_aside(&message, by, DateTime::UNIX_EPOCH).await
    }

    /// The same for a message that was set aside before: dead-lettered by RabbitMQ, or dropped by an operator. The job may
    /// have been asked for again since: then another message begins it, and this one ends nothing. Also ends a job whose
    /// attempt began before `silent_since` and has reported nothing since.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn set_aside_before(
        &self,
        message: &SetAside,
        by: &str,
        silent_since: DateTime<Utc>,
    ) -> Result<bool, Failure> {
        // Without either time it is unknown which of the job's messages this is.
        if message.submitted_at.is_none() && message.at.is_none() {
            return Ok(false);
        }
        self.end_set_aside(message, by, silent_since).await
    }

    async fn end_set_aside(&self, message: &SetAside, by: &str, silent_since: DateTime<Utc>) -> Result<bool, Failure> {
        const ASIDE: &str = include_str!("set_aside.sql");
        let SetAside { job, failure, submitted_at, at } = message;
        let (reason, by) = (text::clean(&failure.message, 2000), text::clean(by, 200));
        let write = || {
            let write = sqlx::query(ASIDE).bind(job.0).bind(failure.code.code()).bind(&reason).bind(&by);
            write.bind(silent_since).bind(submitted_at).bind(at).execute(self.pool())
        };
        Ok(repeated(write).await?.rows_affected() > 0)
    }
}

impl FromRow<'_, PgRow> for Silent {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let job_id = JobId(row.try_get("job_id")?);
        Ok(Self {
            job_id,
            // One row that can't be read again stops only itself.
            job: message(row)?.filter(|job| job.job_id == job_id && job.validate().is_ok()),
            lane: Lane::from_label(row.try_get("lane")?).unwrap_or(Lane::Bulk), // of a newer program
            lost: row.try_get::<Option<bool>, _>("lost")?.unwrap_or_default(),
        })
    }
}

/// The job of a row, as it was enqueued.
fn message(row: &PgRow) -> Result<Option<Job>, sqlx::Error> {
    let options: Value = row.try_get("options")?;
    let etag: String = row.try_get("etag")?;
    let (Ok(channels), Ok(granularity)) =
        (serde_json::from_value(options["channels"].clone()), serde_json::from_value(options["granularity"].clone()))
    else {
        return Ok(None);
    };
    let options = AnalysisOptions {
        channels,
        granularity,
        embedding: options["embedding"] != false,
        model: row.try_get("model_name")?,
    };
    let object = ObjectRef {
        bucket: row.try_get("bucket")?,
        key: row.try_get("key")?,
        etag: Some(etag).filter(|etag| !etag.is_empty()),
    };
    let Ok(Json(attributes)) = row.try_get("attributes") else { return Ok(None) };
    let call = CallData {
        call_id: row.try_get("call_id")?,
        agent: row.try_get("agent")?,
        team: row.try_get("team")?,
        customer: row.try_get("customer")?,
        started_at: row.try_get("started_at")?,
        attributes,
    };
    let batch = BatchId(row.try_get::<Option<Uuid>, _>("batch_id")?.unwrap_or_default());
    let mut job = Job::new(batch, object, call, options, row.try_get("submitted_at")?);
    job.max_seconds = row.try_get::<Option<i32>, _>("max_seconds")?.and_then(|seconds| u32::try_from(seconds).ok());
    Ok(Some(job))
}
