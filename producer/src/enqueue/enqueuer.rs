//! Registers jobs, publishes them, and records the confirmations.

use adapters::amqp::{Lane, Publisher};
use adapters::postgres::{Database, JOBS_PER_CHUNK, NewBatch, Withheld};
use adapters::retry::{RetryPolicy, retry_while};
use domain::{AnalysisOptions, BatchId, ChannelLayout, Failure, Granularity, Job, JobId, ObjectRef};
use futures_util::stream::{StreamExt, TryStreamExt};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::enqueue::registration::{Registered, Wanted};
use crate::error::ProducerError;
use crate::meter::Meter;
use crate::services::{POSTGRES, RABBITMQ};
use crate::source::recordings::{Recording, Recordings, SkipCounts};
use domain::visible::visible;

/// Chunks in flight: while one is confirmed by the broker, the next goes to the database.
const CHUNKS_IN_FLIGHT: usize = 3;

/// How recordings are analysed, and how urgently.
#[derive(Debug, Clone)]
pub(crate) struct JobOptions {
    pub(crate) model: String,
    /// Where a recording names no roles of its own.
    pub(crate) channels: Option<ChannelLayout>,
    pub(crate) granularity: Granularity,
    pub(crate) embedding: bool,
    pub(crate) lane: Lane,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) listed: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) known: AtomicU64,
    pub(crate) forgotten: AtomicU64,
    pub(crate) enqueued: AtomicU64,
    /// Of the known jobs, those of other batches that have not ended; collected only with `--wait`.
    pub(crate) open_elsewhere: Option<Mutex<Vec<JobId>>>,
}

impl Counts {
    pub(crate) fn found(&self, recordings: &[Recording]) {
        let first = || recordings.iter().filter(|recording| !recording.repeated);
        self.listed.fetch_add(first().count() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(first().map(|recording| recording.object.bytes).sum(), Ordering::Relaxed);
    }
}

/// Registers and publishes jobs, chunk by chunk.
#[derive(Debug)]
pub(crate) struct Enqueuer {
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    pub(crate) options: JobOptions,
    pub(crate) policy: RetryPolicy,
    pub(crate) counts: Arc<Counts>,
    pub(crate) left_out: LeftOut,
}

/// Tells and counts what is left out.
#[derive(Debug, Clone)]
pub(crate) struct LeftOut {
    pub(crate) skips: Arc<SkipCounts>,
    pub(crate) meter: Arc<Meter>,
}

impl LeftOut {
    fn say(&self, count: u64, why: &str) {
        self.meter.say(&format!("left out  {why}"));
        self.skips.left_out.fetch_add(count, Ordering::Relaxed);
    }
}

impl Enqueuer {
    /// Enqueues all recordings of a stream.
    pub(crate) async fn run(
        &self,
        batch: &NewBatch,
        force: bool,
        recordings: Recordings,
        meter: &Meter,
    ) -> Result<(), ProducerError> {
        let begun = Instant::now();
        // A chunk that an error cuts short is still enqueued; then the error is returned.
        let chunks = recordings.chunks(JOBS_PER_CHUNK);
        let work = chunks.map(|chunk| async move {
            let mut error = None;
            let mut good = Vec::with_capacity(chunk.len());
            for recording in chunk {
                match recording {
                    Ok(recording) => good.push(recording),
                    Err(e) => error = error.or(Some(e)),
                }
            }
            self.chunk(batch, force, good).await?;
            error.map_or(Ok(()), Err)
        });
        let mut done = std::pin::pin!(work.buffered(CHUNKS_IN_FLIGHT));
        while done.try_next().await?.is_some() {
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let listed = of(&self.counts.listed);
            let rate = listed as f64 / begun.elapsed().as_secs_f64().max(0.001);
            let (known, enqueued) = (of(&self.counts.known), of(&self.counts.enqueued));
            meter.at(listed, None, &format!("{listed} found  {known} known  {enqueued} enqueued  {rate:.0}/s"));
        }
        Ok(())
    }

    async fn chunk(&self, batch: &NewBatch, force: bool, recordings: Vec<Recording>) -> Result<(), ProducerError> {
        self.counts.found(&recordings);
        let (mut first, mut jobs) = (Vec::new(), Vec::new());
        for recording in recordings {
            let repeated = recording.repeated;
            let job = self.job(batch.id, recording);
            if self.accepted(&job) {
                first.push(!repeated);
                jobs.push(job);
            }
        }
        let first: Vec<JobId> = jobs.iter().zip(first).filter(|(_, first)| *first).map(|(job, _)| job.job_id).collect();
        let registered = self.register(batch, jobs, Wanted::Open { force }, &CancellationToken::new()).await?;
        // Each identity once, even where the chunk has the same recording twice.
        let Registered { jobs, wanted, refused } = registered;
        for (job, failure) in &refused {
            self.left_out.say(1, &format!("{}: {failure}", visible(&job.object.key)));
        }
        let others: HashSet<JobId> = wanted.iter().copied().chain(refused.iter().map(|(job, _)| job.job_id)).collect();
        let known_jobs: Vec<JobId> = first.into_iter().filter(|job| !others.contains(job)).collect();
        let mut known = known_jobs.len() as u64;
        if known > 0 {
            let Withheld { forgotten, deleting } =
                retry_while(self.policy, POSTGRES, || self.database.withheld(&jobs)).await?;
            let forgotten = if force { 0 } else { forgotten };
            self.counts.forgotten.fetch_add(forgotten, Ordering::Relaxed);
            if deleting > 0 {
                let what = "are being deleted: enqueue them again when `producer prune` has ended";
                self.left_out.say(deleting, &format!("{deleting} {what}"));
            }
            known = known.saturating_sub(forgotten + deleting);
            self.note_open_elsewhere(&batch.id, &known_jobs).await?;
        }
        self.counts.known.fetch_add(known, Ordering::Relaxed);
        self.publish(chosen(jobs, &wanted)).await?;
        Ok(())
    }

    async fn note_open_elsewhere(&self, batch: &BatchId, known: &[JobId]) -> Result<(), Failure> {
        let Some(noted) = &self.counts.open_elsewhere else { return Ok(()) };
        let states = retry_while(self.policy, POSTGRES, || self.database.states(known, Some(batch))).await?;
        let open = states.into_iter().filter(|(_, status)| status.is_open()).map(|(job, _)| job);
        noted.lock().unwrap_or_else(PoisonError::into_inner).extend(open);
        Ok(())
    }

    /// Whether a worker would take the message: judged by the worker's own code. One that it would refuse is told and left
    /// out.
    fn accepted(&self, job: &Job) -> bool {
        let Err(failure) = Job::received(&job.to_json()) else { return true };
        self.left_out.say(1, &format!("{}: {failure}", visible(&job.object.key)));
        false
    }

    /// Publishes until all are confirmed, and records each confirmation.
    pub(crate) async fn publish(&self, jobs: Vec<Job>) -> Result<(), Failure> {
        let open = tokio::sync::Mutex::new(jobs);
        retry_while(self.policy, RABBITMQ, || self.publish_open(&open)).await
    }

    /// Publishes the open jobs, and removes those that are confirmed.
    async fn publish_open(&self, open: &tokio::sync::Mutex<Vec<Job>>) -> Result<(), Failure> {
        let mut jobs = open.lock().await;
        if jobs.is_empty() {
            return Ok(());
        }
        let results = self.publisher.publish_jobs(&jobs, self.options.lane).await;
        let sent = jobs.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let confirmed: Vec<JobId> = sent.map(|(job, _)| job.job_id).collect();
        retry_while(self.policy, POSTGRES, || self.database.mark_published(&confirmed)).await?;
        self.counts.enqueued.fetch_add(confirmed.len() as u64, Ordering::Relaxed);
        let mut unsent = results.iter().map(Result::is_err);
        jobs.retain(|_| unsent.next().unwrap_or(false));
        results.into_iter().find(Result::is_err).unwrap_or(Ok(()))
    }

    /// The options of a job, with the roles that the recording names.
    pub(crate) fn analysis(&self, channels: Option<ChannelLayout>) -> AnalysisOptions {
        let JobOptions { model, channels: usual, granularity, embedding, .. } = &self.options;
        let (granularity, embedding) = (*granularity, *embedding);
        AnalysisOptions { model: model.clone(), channels: channels.or_else(|| usual.clone()), granularity, embedding }
    }

    /// The job on a recording.
    pub(crate) fn job(&self, batch: BatchId, recording: Recording) -> Job {
        let Recording { bucket, object, call, channels, repeated: _ } = recording;
        let object = ObjectRef { bucket, key: object.key, etag: object.etag };
        Job::new(batch, object, call, self.analysis(channels), chrono::Utc::now())
    }
}

/// The jobs with these identities, in their order.
pub(crate) fn chosen(jobs: Vec<Job>, wanted: &[JobId]) -> Vec<Job> {
    let mut by_id: HashMap<JobId, Job> = jobs.into_iter().rev().map(|job| (job.job_id, job)).collect();
    wanted.iter().filter_map(|id| by_id.remove(id)).collect()
}
