//! One job, from its message to its settlement.

use adapters::amqp::{Lease, LeaseLost, Retry, TraceParent};
use adapters::postgres::{Attempt, Database, RecordOutcome};
use adapters::retry::{RetryPolicy, retry_while, retry_while_unless};
use adapters::s3::Store;
use chrono::Utc;
use domain::alert::{Rulebook, Subject};
use domain::report::{Artifacts, Provenance, Timings};
use domain::{Class, Emotion, Failure, FailureCode, Job, Report};
use settings::Settings;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use super::drain::Stop;
use super::isolation::IsolationLock;
use super::progress::ProgressReporter;
use super::scratch::Scratch;
use crate::metrics::Metrics;
use speech::artifacts::{AUDIO, EMBEDDING, RESULT};
use speech::{Analysis, AnalysisControl, Analyzer};

/// A job waits this long for the database to come back: throwing away a finished analysis for a restart of Postgres
/// would waste the work.
const WAIT_FOR_DATABASE: RetryPolicy = RetryPolicy::at_most(Duration::from_secs(120));
const DATABASE: &str = "postgres";

/// Takes jobs through all stages. Shared by all slots.
pub struct JobProcessor {
    settings: Settings,
    analyzer: Arc<Analyzer>,
    database: Database,
    store: Store,
    rulebook: Rulebook,
    metrics: Arc<Metrics>,
    /// This worker's name in rows and logs.
    name: String,
    scratch: Scratch,
    isolation: IsolationLock,
}

/// How a job ended, before it is settled with the broker.
enum Outcome {
    Done,
    /// The call was deleted meanwhile: nothing of it is kept.
    Deleted,
    Failed(Failure),
    /// Stopped by the drain deadline or a lost lease.
    Interrupted,
}

impl JobProcessor {
    /// Removes temporary folders of dead workers, and is ready for jobs.
    pub fn new(
        settings: &Settings,
        analyzer: Arc<Analyzer>,
        database: Database,
        store: Store,
        rulebook: Rulebook,
        metrics: Arc<Metrics>,
        name: String,
    ) -> Self {
        let scratch = Scratch::sweep(&settings.worker.temp_dir);
        let isolation = IsolationLock::default();
        Self { settings: settings.clone(), analyzer, database, store, rulebook, metrics, name, scratch, isolation }
    }

    /// Takes a job through all stages and settles its lease. Never fails: an error becomes a row, a retry or a dead
    /// letter. All log lines about the job are in the span `job` (docs/logging.md).
    pub async fn process(&self, lease: Lease, stop: &Stop) {
        let _in_hand = self.metrics.in_hand();
        let span = job_span(&lease);
        self.process_in_span(lease, stop).instrument(span).await;
    }

    async fn process_in_span(&self, lease: Lease, stop: &Stop) {
        let job = match Job::from_json(&lease.body) {
            Ok(job) => job,
            Err(failure) => {
                Span::current().record("job_id", lease.message_id.as_deref().unwrap_or_default());
                tracing::warn!(%failure, "dead-lettered: not a job");
                self.metrics.failed(failure.code);
                return self.dead_letter(lease, &failure).await;
            }
        };
        Span::current().record("job_id", display(job.job_id)).record("batch", display(job.batch_id));
        let cancel = stop.working.child_token();
        let outcome = {
            let _isolation = self.isolation.acquire(lease.redelivered).await;
            let lost = lease.lost().clone();
            tokio::select! {
                outcome = self.attempt(&job, &lease, &cancel) => outcome,
                () = lost.cancelled() => { cancel.cancel(); Outcome::Interrupted }
            }
        };
        self.settle(&job, lease, outcome).await;
    }

    async fn attempt(&self, job: &Job, lease: &Lease, cancel: &CancellationToken) -> Outcome {
        let begin = || self.database.begin_attempt(job, &self.name);
        let number = match retry_while_unless(cancel, WAIT_FOR_DATABASE, DATABASE, begin).await {
            Ok(Attempt::Begin { number }) => number,
            Ok(Attempt::AlreadyDone) => {
                tracing::info!("already done");
                return Outcome::Done;
            }
            Ok(Attempt::AlreadyFailed(failure)) => return Outcome::Failed(failure),
            Err(failure) => return failed_or_interrupted(failure, cancel),
        };
        Span::current().record("attempt", number);
        let limit = self.settings.worker.max_attempts_unfinished;
        // Copies of one job that begin at the same time count too, but only a redelivery means that a worker had the
        // job and did not settle it.
        if number > limit && lease.redelivered {
            let message = format!("{limit} attempts began and never ended: the worker died each time");
            return Outcome::Failed(Failure::new(FailureCode::JobKilledWorker, message));
        }
        tracing::debug!("begun");
        let reporter = ProgressReporter::new(&self.database, job.job_id, lease.lane);
        let limit = self.settings.worker.job_timeout();
        let performed = tokio::select! {
            performed = tokio::time::timeout(limit, self.perform(job, &reporter, cancel)) => performed,
            () = cancel.cancelled() => return Outcome::Interrupted,
        };
        match performed {
            Ok(Ok(RecordOutcome::Recorded)) => Outcome::Done,
            Ok(Ok(RecordOutcome::Deleted)) => Outcome::Deleted,
            Ok(Err(failure)) => failed_or_interrupted(failure, cancel),
            Err(_) => {
                cancel.cancel();
                let message = format!("not done after {} s", limit.as_secs());
                Outcome::Failed(Failure::new(FailureCode::JobTimeout, message))
            }
        }
    }

    /// The stages themselves: fetch, analyse, upload, record.
    async fn perform(
        &self,
        job: &Job,
        reporter: &ProgressReporter,
        cancel: &CancellationToken,
    ) -> Result<RecordOutcome, Failure> {
        let begun = Instant::now();
        let mut timings = Timings { queued_ms: since(job.submitted_at), ..Timings::default() };
        let model = self.analyzer.model();
        if job.options.model != model.name {
            let message = format!("the job asks for model `{}`, this worker runs `{}`", job.options.model, model.name);
            return Err(Failure::new(FailureCode::ModelMismatch, message));
        }
        reporter.stage("fetch");
        let folder = self.scratch.folder()?;
        let source = folder.path().join("recording");
        self.store.fetch(&job.object, &source, self.settings.audio.max_bytes).await?;
        timings.fetch_ms = ms(begun.elapsed());

        let control = Arc::new(AnalysisControl::new(cancel.clone(), job.max_seconds, reporter.interactive()));
        reporter.stage("analyze");
        let following = reporter.follow(control.clone());
        let analysis = self.analyze(job, &source, folder.path(), control).await?;
        drop(following);
        reporter.stage("upload");
        timings.preprocess_ms = ms(analysis.preprocess);
        timings.infer_ms = ms(analysis.infer);
        timings.total_ms = ms(begun.elapsed());
        let embedding = analysis.embedding.clone();
        let mut report = analysis.into_report(Provenance::from(job), &job.options, model, timings);
        let artifacts = self.upload(job, &mut report, folder.path(), begun).await?;
        let embedding = embedding.as_deref().filter(|_| job.options.embedding);
        let matches = self.rulebook.matches(Subject::from(&report));
        let record = || self.database.record_done(&report, &artifacts, embedding, &matches, &self.name);
        if retry_while_unless(cancel, WAIT_FOR_DATABASE, DATABASE, record).await? == RecordOutcome::Deleted {
            let Artifacts { bucket, result_key, audio_key, embedding_key } = artifacts;
            let keys: Vec<_> = [result_key, audio_key].into_iter().chain(embedding_key).collect();
            self.store.delete(&bucket, &keys).await?;
            return Ok(RecordOutcome::Deleted);
        }
        self.metrics.analyzed(&report.audio, &report.timings);
        self.metrics.warned(&report.warnings);
        let emotion = report.emotion.map_or("no speech", Emotion::label);
        tracing::info!(emotion, confidence = report.confidence, audio_s = report.audio.duration_s, "done");
        Ok(RecordOutcome::Recorded)
    }

    async fn analyze(
        &self,
        job: &Job,
        source: &Path,
        out: &Path,
        control: Arc<AnalysisControl>,
    ) -> Result<Analysis, Failure> {
        let options = job.options.clone();
        let analyzer = self.analyzer.clone();
        let (source, out) = (source.to_owned(), out.to_owned());
        let span = Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| analyzer.analyze(&source, &options, &out, &control)))
            .await
            .unwrap_or_else(|e| Err(Failure::new(FailureCode::WorkerInternal, format!("the analysis ended: {e}"))))
    }

    /// Uploads the files of `folder` under the job's own prefix. `result.json` comes last: once it is there, all are.
    async fn upload(
        &self,
        job: &Job,
        report: &mut Report,
        folder: &Path,
        begun: Instant,
    ) -> Result<Artifacts, Failure> {
        let uploading = Instant::now();
        let s3 = &self.settings.s3;
        let bucket = s3.artifact_bucket();
        let keys = s3.artifact_folder(job.job_id);
        let key = |name: &str| format!("{keys}{name}");
        for (name, content_type) in [AUDIO, EMBEDDING] {
            let path = folder.join(name);
            if path.is_file() {
                self.store.put_file(bucket, &key(name), &path, content_type).await?;
            }
        }
        report.timings.upload_ms = ms(uploading.elapsed());
        report.timings.total_ms = ms(begun.elapsed());
        let body = serde_json::to_vec(&report)
            .map_err(|e| Failure::new(FailureCode::WorkerInternal, format!("result.json: {e}")))?;
        self.store.put_bytes(bucket, &key(RESULT.0), body, RESULT.1).await?;
        Ok(Artifacts {
            bucket: bucket.to_owned(),
            result_key: key(RESULT.0),
            audio_key: key(AUDIO.0),
            // There is none where there is no speech.
            embedding_key: folder.join(EMBEDDING.0).is_file().then(|| key(EMBEDDING.0)),
        })
    }

    /// Records how the job ended, in the database first and at the broker last: a crash in between repeats the job, and
    /// never loses it.
    async fn settle(&self, job: &Job, lease: Lease, outcome: Outcome) {
        let lane = lease.lane;
        match outcome {
            Outcome::Done => match lease.ack().await {
                Ok(()) => self.metrics.done(),
                // The row is there: the worker that has the job now finds it done.
                Err(LeaseLost) => self.metrics.lease_lost(lane),
            },
            Outcome::Deleted => {
                let failure = Failure::new(FailureCode::JobDeleted, "the call was deleted while the job was in hand");
                tracing::info!(%failure, "not recorded; its artifacts are deleted");
                self.metrics.failed(failure.code);
                if lease.ack().await == Err(LeaseLost) {
                    self.metrics.lease_lost(lane);
                }
            }
            Outcome::Interrupted => {
                let failure =
                    Failure::new(FailureCode::JobCancelled, "stopped before the end; another worker takes over");
                if lease.lost().is_cancelled() {
                    self.metrics.lease_lost(lane);
                }
                if let Err(error) = self.database.note_retry(job, &failure).await {
                    tracing::warn!(%error, "the interrupted attempt stays counted");
                }
                lease.hand_back().await;
            }
            Outcome::Failed(failure) if failure.class() == Class::Transient => {
                self.retry_later(job, lease, &failure).await;
            }
            Outcome::Failed(failure) => self.give_up(job, lease, &failure).await,
        }
    }

    async fn retry_later(&self, job: &Job, lease: Lease, failure: &Failure) {
        if let Err(error) = self.database.note_retry(job, failure).await {
            tracing::warn!(%error, "the retry is not recorded");
        }
        let (lane, lost) = (lease.lane, lease.lost().clone());
        match lease.retry().await {
            Ok(Retry::Scheduled { delay_s }) => {
                self.metrics.retried(failure.code);
                tracing::warn!(%failure, delay_s, "retried later");
            }
            Ok(Retry::Exhausted(lease)) => self.give_up(job, *lease, failure).await,
            // The lease was dropped with it: the broker delivers the job again.
            Err(error) => {
                if lost.is_cancelled() {
                    self.metrics.lease_lost(lane);
                }
                tracing::warn!(%failure, %error, "the retry can't be published: the broker redelivers the job");
            }
        }
    }

    /// The row first, then the dead letter.
    async fn give_up(&self, job: &Job, lease: Lease, failure: &Failure) {
        let record = || self.database.record_failed(job, failure, &self.name);
        match retry_while(WAIT_FOR_DATABASE, DATABASE, record).await {
            Ok(()) => {}
            // Postgres will never accept a row of this job: the dead letter says so.
            Err(error) if error.code == FailureCode::DatabaseRefused => {
                tracing::error!(%failure, %error, "dead-lettered without a row");
                self.metrics.failed(failure.code);
                let message = format!("{}; it could not be recorded either: {}", failure.message, error.message);
                return self.dead_letter(lease, &Failure::new(failure.code, message)).await;
            }
            Err(error) => {
                tracing::error!(%failure, %error, "the failure can't be recorded: the broker redelivers the job");
                return lease.hand_back().await;
            }
        }
        tracing::warn!(%failure, "failed");
        self.metrics.failed(failure.code);
        self.dead_letter(lease, failure).await;
    }

    async fn dead_letter(&self, lease: Lease, failure: &Failure) {
        let (lane, lost) = (lease.lane, lease.lost().clone());
        if let Err(error) = lease.dead_letter(failure, &self.name).await {
            if lost.is_cancelled() {
                self.metrics.lease_lost(lane);
            }
            tracing::warn!(%error, "not dead-lettered yet: the broker delivers the message again");
        }
    }
}

/// The span of one job: what its log lines have in common is here once.
fn job_span(lease: &Lease) -> Span {
    let trace_id = lease.traceparent().map(|TraceParent { trace_id, .. }| display(format!("{trace_id:032x}")));
    tracing::info_span!(
        "job",
        job_id = Empty,
        batch = Empty,
        attempt = Empty,
        lane = lease.lane.label(),
        retries = lease.retries,
        redelivered = lease.redelivered,
        trace_id,
    )
}

/// A failure that a cancellation caused is not the job's own.
fn failed_or_interrupted(failure: Failure, cancel: &CancellationToken) -> Outcome {
    if cancel.is_cancelled() || failure.code == FailureCode::JobCancelled {
        Outcome::Interrupted
    } else {
        Outcome::Failed(failure)
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn since(then: chrono::DateTime<Utc>) -> f64 {
    (Utc::now() - then).num_milliseconds().max(0) as f64
}
