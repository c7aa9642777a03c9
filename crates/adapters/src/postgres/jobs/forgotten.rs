//! What was deleted stays deleted: ids without any data, looked at before a job gets a row.

use domain::{Failure, Job, JobId, ObjectRef};
use sqlx::Row;
use std::collections::HashSet;
use uuid::Uuid;

use super::upsert::recording_id;
use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, errors, rows};

/// State of a row that is being deleted.
pub(in crate::postgres) const DELETING: &str = "deleting";

/// Jobs that were not registered, since they were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Withheld {
    /// Deleted: force analyses them again.
    pub forgotten: u64,
    /// Being deleted now: not even force does.
    pub deleting: u64,
}

impl Database {
    /// How many of these jobs were deleted, or are being deleted.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn withheld(&self, jobs: &[Job]) -> Result<Withheld, Failure> {
        const WITHHELD: &str = "SELECT count(*) FILTER (WHERE a.status = 'deleting') AS deleting,
                count(*) FILTER (WHERE a.status IS DISTINCT FROM 'deleting'
                    AND EXISTS (SELECT FROM forgotten f WHERE f.id IN (n.job_id, n.recording_id))) AS forgotten
            FROM unnest($1::uuid[], $2::uuid[]) AS n (job_id, recording_id) LEFT JOIN analyses a USING (job_id)";
        let ids: (Vec<Uuid>, Vec<Uuid>) = jobs.iter().map(|job| (job.job_id.0, recording_id(&job.object))).unzip();
        let counted = async {
            let row = sqlx::query(WITHHELD).bind(ids.0).bind(ids.1).fetch_one(self.pool()).await?;
            Ok(Withheld { forgotten: rows::count(&row, "forgotten")?, deleting: rows::count(&row, "deleting")? })
        };
        counted.await.map_err(|e: sqlx::Error| errors::failure(&e))
    }

    /// Which of these jobs were deleted, by themselves or with their recording, and have no row again. The objects are those
    /// of messages that can be read.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn deleted_jobs(&self, jobs: &[(JobId, Option<ObjectRef>)]) -> Result<HashSet<JobId>, Failure> {
        const DELETED: &str = "SELECT n.job_id FROM unnest($1::uuid[], $2::uuid[]) AS n (job_id, recording_id)
            WHERE EXISTS (SELECT FROM forgotten f WHERE f.id IN (n.job_id, n.recording_id))
              AND NOT EXISTS (SELECT FROM analyses a WHERE a.job_id = n.job_id)";
        let ids: (Vec<Uuid>, Vec<Uuid>) =
            jobs.iter().map(|(job, object)| (job.0, object.as_ref().map_or(job.0, recording_id))).unzip();
        let deleted = sqlx::query_scalar(DELETED).bind(ids.0).bind(ids.1).fetch_all(self.pool()).await;
        Ok(deleted.map_err(|e| errors::failure(&e))?.into_iter().map(JobId).collect())
    }

    /// The run of a job that was deleted; `None` when it was not.
    pub(super) async fn forgotten_run(&self, job: &Job) -> Result<Option<u32>, Failure> {
        const RUN: &str = "SELECT max(run) AS run FROM forgotten WHERE id IN ($1, $2)";
        let row = sqlx::query(RUN).bind(job.job_id.0).bind(recording_id(&job.object)).fetch_one(self.pool()).await;
        let run = row.and_then(|row| row.try_get::<Option<i32>, _>("run")).map_err(|e| errors::failure(&e))?;
        Ok(run.map(i32::unsigned_abs))
    }

    /// Claims what a worker uploaded for a row that was deleted under it: from now on no message brings the job back, and
    /// the artifacts of this run may be deleted. False when the job has a row again that may name them.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn claim_leftovers(&self, job: JobId, run: u32) -> Result<bool, Failure> {
        const CLAIM: &str = "WITH claimed AS (
                INSERT INTO forgotten (id, run)
                SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM analyses WHERE job_id = $1)
                ON CONFLICT (id) DO UPDATE SET run = greatest(forgotten.run, excluded.run))
            SELECT NOT EXISTS (SELECT FROM analyses WHERE job_id = $1 AND (run <= $2 AND status <> 'deleting'))";
        let run = i32::try_from(run).unwrap_or(i32::MAX);
        repeated(|| sqlx::query_scalar(CLAIM).bind(job.0).bind(run).fetch_one(self.pool())).await
    }
}
