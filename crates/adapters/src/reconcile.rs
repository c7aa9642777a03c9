//! Compares open jobs with the queues: a job whose message was set aside gets its reason, and one whose message is gone is
//! published again. Safe to repeat and to run twice at once: a job that is delivered twice is done once.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Failure, Job, JobId};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::amqp::{self, DeadLetter, DeadLetters, Filter, Lane, Publisher, Topology};
use crate::boxed;
use crate::postgres::{Database, LostQuery, SetAside, Silent};

/// Rows looked at in one statement.
const PAGE: u32 = 500;
/// Who set a message aside, as the row says.
const BY: &str = "reconciler";

/// What was found and done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Open jobs that had reported nothing for a while.
    pub silent: u64,
    /// Of those: their message is a dead letter, and they have failed with its reason.
    pub set_aside: u64,
    /// Published again, since no queue has their message.
    pub published: u64,
    /// Left as they are: their rows do not give the job again.
    pub unreadable: u64,
}

/// What a dead letter says of the job whose row it is about; `None` when it is about none.
pub fn message_of(letter: &DeadLetter) -> Option<SetAside> {
    let submitted_at = letter.job().map(|job| job.submitted_at);
    Some(SetAside { job: letter.row()?, failure: letter.failure(), submitted_at, at: letter.failed_at })
}

/// What is kept of all silent jobs: a long queue is no loss, and may have a million.
#[derive(Debug, Default)]
struct AllSilent {
    jobs: HashSet<JobId>,
    /// Whether any may be lost.
    lost: bool,
}

/// The services, and how long a job may be silent.
#[derive(Debug)]
pub struct Reconciler {
    database: Database,
    publisher: Publisher,
    amqp: amqp::Settings,
    /// Longest time of an attempt.
    attempt: Duration,
}

impl Reconciler {
    /// `attempt` is the longest time that a worker may have a job in flight.
    pub fn new(database: Database, publisher: Publisher, amqp: &amqp::Settings, attempt: Duration) -> Self {
        Self { database, publisher, amqp: amqp.clone(), attempt }
    }

    /// One comparison, of jobs that were published or begun longer ago than `silent_for`.
    ///
    /// # Errors
    /// `database.unreachable`, `broker.unreachable`, or a refusal by either.
    #[boxed]
    pub async fn run(&self, silent_for: Duration) -> Result<Reconciled, Failure> {
        let silent_for = TimeDelta::from_std(silent_for).unwrap_or(TimeDelta::MAX);
        let before = Utc::now().checked_sub_signed(silent_for).unwrap_or(DateTime::UNIX_EPOCH);
        let mut done = Reconciled::default();
        // Read before the rows: a message that comes between the two is no loss.
        let query = self.query(before).await?;
        let silent = self.silent(&query).await?;
        done.silent = silent.jobs.len() as u64;
        if silent.jobs.is_empty() {
            return Ok(done);
        }
        let aside = self.set_aside(&silent.jobs, before).await?;
        done.set_aside = aside.len() as u64;
        if silent.lost {
            self.publish_lost(&query, &aside, &mut done).await?;
        }
        Ok(done)
    }

    async fn query(&self, before: DateTime<Utc>) -> Result<LostQuery, Failure> {
        let models = self.database.open_models().await?;
        let (topology, depths) = (Topology::new(&self.amqp), amqp::depths(&self.amqp, &models).await?);
        let empty = |queue: &str| depths.iter().all(|depth| depth.queue != queue || depth.messages == 0);
        // What no worker has sorted by model yet may be any job of the lane.
        let lanes = Lane::ALL.into_iter().filter(|lane| empty(&topology.intake(*lane)));
        let queues = lanes.flat_map(|lane| models.iter().map(move |model| lane.of(model)));
        let queues = queues.filter(|queue| empty(&topology.jobs(queue)));
        let longest = self.amqp.retry_delays_s.iter().max().copied().unwrap_or_default();
        Ok(LostQuery {
            before,
            attempt: self.attempt,
            retry: Duration::from_secs(longest.into()),
            empty_queues: queues.collect(),
            no_retries: self.amqp.retry_delays_s.iter().all(|delay| empty(&topology.retry(*delay))),
        })
    }

    async fn silent(&self, query: &LostQuery) -> Result<AllSilent, Failure> {
        let (mut all, mut after) = (AllSilent::default(), None);
        loop {
            let page = self.database.silent_jobs(query, after, PAGE).await?;
            after = page.last().map(|last| last.job_id);
            all.lost |= page.iter().any(|silent| silent.lost);
            all.jobs.extend(page.iter().map(|silent| silent.job_id));
            if page.len() < PAGE as usize {
                return Ok(all);
            }
        }
    }

    /// Publishes lost jobs page by page, as their rows are now: what was set aside since has failed.
    async fn publish_lost(
        &self,
        query: &LostQuery,
        aside: &HashSet<JobId>,
        done: &mut Reconciled,
    ) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.database.silent_jobs(query, after, PAGE).await?;
            after = page.last().map(|last| last.job_id);
            let last = page.len() < PAGE as usize;
            let mut lanes: BTreeMap<Lane, Vec<Job>> = BTreeMap::new();
            let lost = page.into_iter().filter(|silent| silent.lost && !aside.contains(&silent.job_id));
            for Silent { job_id, job, lane, .. } in lost {
                if let Some(job) = job {
                    lanes.entry(lane).or_default().push(job);
                } else {
                    tracing::error!(%job_id, "the row does not give its job again: enqueue the recording again");
                    done.unreadable += 1;
                }
            }
            for (lane, jobs) in lanes {
                done.published += self.publish(&jobs, lane).await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Jobs among these whose message is a dead letter fail with its reason. Letters of earlier messages of the same job,
    /// which was asked for again since, change nothing.
    async fn set_aside(&self, waiting: &HashSet<JobId>, before: DateTime<Utc>) -> Result<HashSet<JobId>, Failure> {
        let mut found = HashSet::new();
        let mut letters = Vec::new();
        let look = |letter: &DeadLetter| {
            letters.extend(message_of(letter).filter(|message| waiting.contains(&message.job)));
        };
        DeadLetters::new(&self.amqp).each(&Filter::default(), look).await?;
        let silent_since = before - TimeDelta::from_std(self.attempt).unwrap_or_default();
        for message in letters {
            if self.database.set_aside_before(&message, BY, silent_since).await? {
                let SetAside { job, failure, .. } = message;
                tracing::warn!(job_id = %job, %failure, "failed: its message was set aside");
                found.insert(job);
            }
        }
        Ok(found)
    }

    async fn publish(&self, jobs: &[Job], lane: Lane) -> Result<u64, Failure> {
        let results = self.publisher.publish_jobs(jobs, lane).await;
        let sent: Vec<JobId> =
            jobs.iter().zip(&results).filter(|(_, sent)| sent.is_ok()).map(|(job, _)| job.job_id).collect();
        self.database.mark_republished(&sent).await?;
        let published = sent.len() as u64;
        for failure in results.into_iter().filter_map(Result::err) {
            if failure.is_unreachable() {
                return Err(failure);
            }
            // The next comparison tries it again.
            tracing::error!(%failure, lane = lane.label(), "a lost job could not be published again");
        }
        if published > 0 {
            tracing::warn!(jobs = published, lane = lane.label(), "published again: no queue had their messages");
        }
        Ok(published)
    }
}
