//! Registers jobs together; where the database refuses them, each by itself, so that one bad job stops only itself.

use adapters::postgres::NewBatch;
use adapters::retry::retry_while_unless;
use domain::{Failure, FailureCode, Job, JobId};
use tokio_util::sync::CancellationToken;

use crate::enqueue::enqueuer::Enqueuer;
use crate::services::POSTGRES;

/// Which jobs are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// Those that this program registers first.
    New,
    /// Those that are new, or were never confirmed; with `force` those that ended as well.
    Open { force: bool },
}

/// What became of jobs.
#[derive(Debug, Default)]
pub(crate) struct Registered {
    /// Jobs that have a row.
    pub(crate) jobs: Vec<Job>,
    /// Those that are to be published.
    pub(crate) wanted: Vec<JobId>,
    /// Jobs whose row the database refused, and why.
    pub(crate) refused: Vec<(Job, Failure)>,
}

impl Enqueuer {
    /// Gives the jobs rows. Waits for the database until `stop` is cancelled.
    ///
    /// # Errors
    /// `database.unreachable`; `database.refused` when it refuses every job, which is no job's fault.
    pub(crate) async fn register(
        &self,
        batch: &NewBatch,
        jobs: Vec<Job>,
        wanted: Wanted,
        stop: &CancellationToken,
    ) -> Result<Registered, Failure> {
        let refusal = match self.register_all(batch, &jobs, wanted, stop).await {
            Ok(wanted) => return Ok(Registered { jobs, wanted, refused: Vec::new() }),
            Err(failure) if failure.code == FailureCode::DatabaseRefused && jobs.len() > 1 => failure,
            Err(failure) => return Err(failure),
        };
        let mut registered = Registered::default();
        for job in jobs {
            match self.register_all(batch, std::slice::from_ref(&job), wanted, stop).await {
                Ok(ids) => {
                    registered.wanted.extend(ids);
                    registered.jobs.push(job);
                }
                Err(failure) if failure.code == FailureCode::DatabaseRefused => registered.refused.push((job, failure)),
                Err(failure) => return Err(failure),
            }
        }
        if registered.jobs.is_empty() { Err(refusal) } else { Ok(registered) }
    }

    async fn register_all(
        &self,
        batch: &NewBatch,
        jobs: &[Job],
        wanted: Wanted,
        stop: &CancellationToken,
    ) -> Result<Vec<JobId>, Failure> {
        let (database, lane) = (&self.database, self.options.lane);
        let register = || async move {
            match wanted {
                Wanted::New => database.register_new(batch, jobs, lane).await,
                Wanted::Open { force } => database.register_in(batch, jobs, force, lane).await,
            }
        };
        retry_while_unless(stop, self.policy, POSTGRES, register).await
    }
}
