//! A worker begins an attempt of a job, or ends it for a later retry.

use domain::{Failure, FailureCode, Job};
use sqlx::Row;

use super::Status;
use crate::postgres::{Database, errors, text};

/// What a worker has to do with a job from the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// Analyse it. `number` counts the attempts begun and not ended, this one included: above the
    /// operator's limit, the job is taken to be what kills workers.
    Begin {
        /// Attempts begun and not ended.
        number: u32,
    },
    /// It is done: acknowledge the message.
    AlreadyDone,
    /// It has failed: dead-letter the message again. [`Database::requeue`] makes the job `queued`.
    AlreadyFailed(Failure),
}

impl Database {
    /// Begins an attempt: one row, one short statement. A job that was never registered gets its row first.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn begin_attempt(&self, job: &Job, worker: &str) -> Result<Attempt, Failure> {
        if let Some(attempt) = self.begin_known(job, worker).await? {
            return Ok(attempt);
        }
        self.adopt(job).await?;
        self.begin_known(job, worker).await?.ok_or_else(|| {
            Failure::new(FailureCode::DatabaseUnreachable, "the job's row was deleted while the attempt began")
        })
    }

    async fn begin_known(&self, job: &Job, worker: &str) -> Result<Option<Attempt>, Failure> {
        const BEGIN: &str = include_str!("begin_attempt.sql");
        let row = sqlx::query(BEGIN)
            .bind(job.job_id.0)
            .bind(text::clean(worker, 200))
            .fetch_optional(self.pool())
            .await
            .map_err(|e| errors::failure(&e))?;
        row.map(|row| read(&row).map_err(|e| errors::failure(&e))).transpose()
    }

    /// Records a transient failure: the job waits in a retry queue, and the attempt has ended.
    /// A job that is done or failed stays so.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn note_retry(&self, job: &Job, failure: &Failure) -> Result<(), Failure> {
        const RETRY: &str = "UPDATE analyses SET status = 'retrying', failure_code = $2, failure_message = $3,
            unfinished = 0, retries = retries + 1 WHERE job_id = $1 AND status NOT IN ('done', 'failed')";
        sqlx::query(RETRY)
            .bind(job.job_id.0)
            .bind(failure.code.code())
            .bind(text::clean(&failure.message, 2000))
            .execute(self.pool())
            .await
            .map(drop)
            .map_err(|e| errors::failure(&e))
    }
}

fn read(row: &sqlx::postgres::PgRow) -> Result<Attempt, sqlx::Error> {
    let status: String = row.try_get("status")?;
    Ok(match Status::from_label(&status) {
        Some(Status::Done) => Attempt::AlreadyDone,
        Some(Status::Failed) => Attempt::AlreadyFailed(stored_failure(row)?),
        _ => Attempt::Begin { number: u32::try_from(row.try_get::<i32, _>("unfinished")?).unwrap_or(u32::MAX) },
    })
}

/// `failure_code` and `failure_message` of a row, as a failure. A code that only a newer program
/// knows is kept in the message.
pub(in crate::postgres) fn stored_failure(row: &sqlx::postgres::PgRow) -> Result<Failure, sqlx::Error> {
    let code: String = row.try_get::<Option<_>, _>("failure_code")?.unwrap_or_default();
    let message: String = row.try_get::<Option<_>, _>("failure_message")?.unwrap_or_default();
    Ok(match FailureCode::from_code(&code) {
        Some(code) => Failure { code, message },
        None => Failure::new(FailureCode::WorkerInternal, format!("{code}: {message}")),
    })
}
