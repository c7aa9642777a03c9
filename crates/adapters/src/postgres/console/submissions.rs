//! Jobs that callers submit: registered, with who submitted them and under which idempotency key.

use domain::{Failure, Job, JobId, Lane};
use uuid::Uuid;

use super::requests::claim;
use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::jobs::{UpsertOptions, upsert_statement};
use crate::postgres::{Database, NewBatch, errors};

/// A job and who submits it.
#[derive(Debug, Clone, Copy)]
pub struct NewSubmission<'a> {
    /// Batch of the job.
    pub batch: &'a NewBatch,
    /// The job.
    pub job: &'a Job,
    /// Whether a job that has ended begins anew.
    pub anew: bool,
    /// Lane to which the job is published.
    pub lane: Lane,
    /// Who submits it.
    pub caller: &'a str,
    /// Idempotency key and fingerprint of the request.
    pub request: Option<(&'a str, &'a [u8])>,
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// The job has a row.
    Registered {
        /// Whether its message has to be published: not that of a job that was known, unless its message was never confirmed.
        publish: bool,
    },
    /// Nothing was written: the same request with this idempotency key has registered this job before.
    Known(JobId),
    /// Nothing was written: the idempotency key is in use for another request.
    Conflict,
}

impl Database {
    /// Registers a job, notes who submitted it, and gives it the idempotency key, all or nothing. Safe to repeat.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn submit(&self, submission: &NewSubmission<'_>) -> Result<Submitted, Failure> {
        // The job may have been deleted before, and is not registered then.
        const NOTE: &str = "INSERT INTO console_submissions (job_id, caller)
            SELECT job_id, $2 FROM analyses WHERE job_id = $1 ON CONFLICT DO NOTHING";
        let NewSubmission { batch, job, anew, lane, caller, request } = *submission;
        let jobs = std::slice::from_ref(job);
        let options = UpsertOptions { force: anew, published: false, new_only: false, lane };
        self.ensure_months_of_corrections(jobs).await?;
        let submit = || async {
            let mut transaction = self.begin().await?;
            if let Some((key, fingerprint)) = request {
                match claim(&mut transaction, caller, key, fingerprint, job.job_id).await? {
                    Some(claimed) if claimed == job.job_id => {}
                    Some(first) => return Ok(Submitted::Known(first)),
                    None => return Ok(Submitted::Conflict),
                }
            }
            let wanted: Vec<Uuid> = upsert_statement(batch, jobs, options).fetch_all(&mut *transaction).await?;
            sqlx::query(NOTE).bind(job.job_id.0).bind(caller).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(Submitted::Registered { publish: !wanted.is_empty() })
        };
        repeated(submit).await
    }

    /// Whether this caller submitted the job.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn has_submitted(&self, caller: &str, job: JobId) -> Result<bool, Failure> {
        const SUBMITTED: &str = "SELECT EXISTS (SELECT FROM console_submissions WHERE job_id = $1 AND caller = $2)";
        let submitted = sqlx::query_scalar(SUBMITTED).bind(job.0).bind(caller);
        submitted.fetch_one(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}
