//! Deletion of analyses with everything that belongs to them. Rows are claimed, objects deleted, then the rows: interrupted anywhere
//! in between, the same deletion finds what is left by its rows.

mod objects;

pub use objects::DeletedObjects;

use domain::{Failure, FailureCode, JobId};
use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::amqp::{self, DeadLetters, Filter};
use crate::boxed;
use crate::postgres::{Database, Expired, OpenJobs, PruneSummary};
use crate::retry::{RetryPolicy, retry_while};
use crate::s3;
use objects::Objects;

/// Pause between two looks for dead letters that another program has in flight.
const LETTERS_PAUSE: Duration = Duration::from_millis(500);

/// Deletes analyses: their dead letters on request, their objects, then their rows.
pub struct Eraser {
    database: Database,
    objects: Objects,
    dead_letters: DeadLetters,
    open_jobs: OpenJobs,
    policy: RetryPolicy,
}

/// What was deleted so far, and what was not.
#[derive(Debug, Clone, Default)]
pub struct Erased {
    /// Rows.
    pub rows: PruneSummary,
    /// Objects.
    pub objects: DeletedObjects,
    /// Dead letters removed from their queue.
    pub dead_letters: usize,
    /// Failed jobs whose dead letter was not in the queue: it was dropped, or another program has it in flight.
    pub letters_away: usize,
    /// Consumers of the dead letters at the end, which may have some in flight.
    pub letter_readers: u32,
    /// Jobs whose objects the store, or whose rows Postgres, refused to delete: their rows are kept.
    pub refused: HashSet<JobId>,
    /// Why the first of those was refused.
    pub refusal: Option<Failure>,
    /// Why dead letters of deleted jobs may be left.
    pub letters_left: Option<Failure>,
}

impl Eraser {
    /// `recordings`: whether the recordings are deleted too, unless another analysis needs them. No network yet.
    ///
    /// # Errors
    /// `config.invalid`, for settings of the store that can't be used.
    pub fn new(
        database: Database,
        s3: &s3::Settings,
        amqp: &amqp::Settings,
        recordings: bool,
        open_jobs: OpenJobs,
        policy: RetryPolicy,
    ) -> Result<Self, Failure> {
        let (objects, dead_letters) = (Objects::open(s3, recordings)?, DeadLetters::new(amqp));
        Ok(Self { database, objects, dead_letters, open_jobs, policy })
    }

    /// Claims the jobs' rows, deletes their objects, then the rows of those whose objects are gone.
    ///
    /// # Errors
    /// `store.unreachable`, after the rows of what was deleted; `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn erase(&self, jobs: &[Expired], erased: &mut Erased) -> Result<(), Failure> {
        let claimed = self.claim(jobs).await?;
        self.erase_claimed(&claimed, erased).await
    }

    async fn claim(&self, jobs: &[Expired]) -> Result<Vec<Expired>, Failure> {
        let ids: Vec<JobId> = jobs.iter().map(|job| job.job_id).collect();
        retry_while(self.policy, "Postgres", || self.database.claim(&ids, self.open_jobs)).await
    }

    async fn erase_claimed(&self, jobs: &[Expired], erased: &mut Erased) -> Result<(), Failure> {
        let mut gone = Vec::with_capacity(jobs.len());
        let mut away = None;
        for (job, outcome) in self.objects.delete(jobs, self.policy).await {
            match outcome {
                Ok(deleted) => {
                    erased.objects += deleted;
                    gone.push(job);
                }
                Err(failure) if failure.code == FailureCode::StoreUnreachable => away = Some(failure),
                Err(failure) => {
                    erased.refused.insert(job);
                    erased.refusal.get_or_insert(failure);
                }
            }
        }
        self.delete_rows(&gone, erased).await?;
        away.map_or(Ok(()), Err)
    }

    /// Deletes rows together; where the database refuses that, each job's by themselves, so that one stops only itself.
    async fn delete_rows(&self, jobs: &[JobId], erased: &mut Erased) -> Result<(), Failure> {
        let delete = async |jobs: &[JobId]| retry_while(self.policy, "Postgres", || self.database.prune(jobs)).await;
        match delete(jobs).await {
            Ok(summary) => erased.rows += summary,
            Err(failure) if failure.code == FailureCode::DatabaseRefused && jobs.len() > 1 => {
                let (mut refused, mut any) = (Vec::new(), false);
                for job in jobs {
                    match delete(std::slice::from_ref(job)).await {
                        Ok(summary) => {
                            erased.rows += summary;
                            any = true;
                        }
                        Err(failure) if failure.code == FailureCode::DatabaseRefused => refused.push(*job),
                        Err(failure) => return Err(failure),
                    }
                }
                if !any {
                    return Err(failure); // a missing right, say, is no row's fault
                }
                erased.refused.extend(refused);
                erased.refusal.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// As [`Self::erase`], with the jobs' dead letters and those that have the call's id in their bodies. They come first: the rows are deleted
    /// last, and the next deletion finds what is left by them. Letters that came meanwhile go at the end. `patience`: longest
    /// wait for letters that another program has in flight.
    ///
    /// # Errors
    /// As [`Self::erase`]; `broker.unreachable`, `broker.refused`.
    #[boxed]
    pub async fn erase_with_dead_letters(
        &self,
        jobs: &[Expired],
        call: Option<&str>,
        patience: Duration,
        erased: &mut Erased,
    ) -> Result<(), Failure> {
        let claimed = self.claim(jobs).await?;
        self.discard_letters(&claimed, call, patience, erased).await?;
        self.erase_claimed(&claimed, erased).await?;
        self.drop_letters_of_deleted(erased).await;
        Ok(())
    }

    /// Drops the dead letters of jobs that were deleted, now or earlier: a worker may have written one after the deletion, and
    /// another program may have had one in flight. Everything else is done then, so a broker that does not answer is only noted.
    #[boxed]
    pub async fn drop_letters_of_deleted(&self, erased: &mut Erased) {
        let deleted = |jobs: Vec<_>| {
            let database = self.database.clone();
            async move { database.deleted_jobs(&jobs).await }
        };
        match self.dead_letters.discard_jobs(deleted).await {
            Ok(dropped) => erased.dead_letters += dropped,
            Err(failure) => {
                tracing::warn!(%failure, "dead letters of deleted calls may be left: the next `producer prune` drops them");
                erased.letters_left.get_or_insert(failure);
            }
        }
    }

    async fn discard_letters(
        &self,
        claimed: &[Expired],
        call: Option<&str>,
        patience: Duration,
        erased: &mut Erased,
    ) -> Result<(), Failure> {
        let ids = claimed.iter().map(|job| job.job_id).collect();
        let filter = Filter { jobs: Some(ids), call: call.map(str::to_owned), ..Filter::default() };
        let mut away: HashSet<JobId> = claimed.iter().filter(|job| job.failed).map(|job| job.job_id).collect();
        let begun = Instant::now();
        loop {
            let discarded = retry_while(self.policy, "RabbitMQ", || self.dead_letters.discard(&filter)).await?;
            erased.dead_letters += discarded.letters;
            away.retain(|job| !discarded.jobs.contains(job));
            if (away.is_empty() && discarded.consumers == 0) || begun.elapsed() >= patience {
                erased.letters_away += away.len();
                erased.letter_readers = discarded.consumers;
                return Ok(());
            }
            tokio::time::sleep(LETTERS_PAUSE).await;
        }
    }
}
