//! The producer registers jobs, notes their publication, and requeues failed ones.

use domain::{BatchId, Failure, Job, JobId, Lane};
use uuid::Uuid;

use super::upsert::UpsertOptions;
use crate::boxed;
use crate::postgres::Database;
use crate::postgres::conflict::repeated;

/// Jobs registered by one statement: more gain nothing and hold their locks longer.
pub const JOBS_PER_CHUNK: usize = 500;

/// Jobs that are enqueued together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    /// [`BatchId::from_name`] of the name.
    pub id: BatchId,
    /// As the operator calls it.
    pub name: String,
    /// Where the keys came from: a prefix, a manifest, a folder.
    pub source: String,
}

impl Database {
    /// Registers jobs and returns those that need publishing, in the order given: new ones, those registered
    /// but never confirmed published, and with `force` those that had ended, done or failed. A batch in which
    /// nothing needs publishing leaves no row. Safe to repeat, and to run twice at the same time.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`; jobs registered until then stay registered.
    #[boxed]
    pub async fn register(&self, batch: &NewBatch, jobs: &[Job], force: bool) -> Result<Vec<JobId>, Failure> {
        self.register_in(batch, jobs, force, Lane::Bulk).await
    }

    /// The same for jobs that are published to this lane: lost ones are published there again.
    ///
    /// # Errors
    /// As [`Self::register`].
    #[boxed]
    pub async fn register_in(
        &self,
        batch: &NewBatch,
        jobs: &[Job],
        force: bool,
        lane: Lane,
    ) -> Result<Vec<JobId>, Failure> {
        self.register_by(batch, jobs, UpsertOptions { force, published: false, new_only: false, lane }).await
    }

    /// Registers jobs for a lane and returns those that had no row. Of several programs that register the same job, one
    /// gets it: that one publishes it. The call data of recordings that are known is corrected as by
    /// [`Database::register`].
    ///
    /// # Errors
    /// As [`Database::register`].
    #[boxed]
    pub async fn register_new(&self, batch: &NewBatch, jobs: &[Job], lane: Lane) -> Result<Vec<JobId>, Failure> {
        let options = UpsertOptions { force: false, published: false, new_only: true, lane };
        self.register_by(batch, jobs, options).await
    }

    async fn register_by(&self, batch: &NewBatch, jobs: &[Job], options: UpsertOptions) -> Result<Vec<JobId>, Failure> {
        let mut wanted = std::collections::HashSet::new();
        for chunk in jobs.chunks(JOBS_PER_CHUNK) {
            wanted.extend(self.upsert_jobs(batch, chunk, options).await?);
        }
        // A job named twice is published once.
        Ok(jobs.iter().map(|job| job.job_id).filter(|id| wanted.remove(id)).collect())
    }

    /// Notes that RabbitMQ has confirmed these jobs' messages.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn mark_published(&self, jobs: &[JobId]) -> Result<(), Failure> {
        const PUBLISHED: &str =
            "UPDATE analyses SET published_at = now() WHERE job_id = ANY($1) AND published_at IS NULL";
        for chunk in jobs.chunks(JOBS_PER_CHUNK * 4) {
            let ids: Vec<Uuid> = chunk.iter().map(|id| id.0).collect();
            repeated(|| sqlx::query(PUBLISHED).bind(&ids).execute(self.pool())).await?;
        }
        Ok(())
    }

    /// Makes failed jobs `queued` again, before their dead letters are replayed: otherwise the next worker
    /// would dead-letter them at once; likewise failed repetitions, whose earlier result stays. Jobs in another state stay
    /// as they are. Returns how many changed.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn requeue(&self, jobs: &[JobId]) -> Result<u64, Failure> {
        const REQUEUE: &str = include_str!("requeue.sql");
        let mut changed = 0;
        for chunk in jobs.chunks(JOBS_PER_CHUNK * 4) {
            let ids: Vec<Uuid> = chunk.iter().map(|id| id.0).collect();
            changed += repeated(|| sqlx::query(REQUEUE).bind(&ids).execute(self.pool())).await?.rows_affected();
        }
        Ok(changed)
    }
}
