//! Who submitted which analysis.

use domain::{Failure, JobId};

use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, errors};

impl Database {
    /// Notes that this caller submitted the job, which has a row.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn note_submission(&self, caller: &str, job: JobId) -> Result<(), Failure> {
        // The job may have been deleted meanwhile.
        const NOTE: &str = "INSERT INTO console_submissions (job_id, caller)
            SELECT job_id, $2 FROM analyses WHERE job_id = $1 ON CONFLICT DO NOTHING";
        repeated(|| sqlx::query(NOTE).bind(job.0).bind(caller).execute(self.pool())).await.map(drop)
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
