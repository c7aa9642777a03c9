//! One job, from its message to the outcome of its attempt. `settle.rs` tells the broker.

use adapters::amqp::{Lease, TraceParent};
use adapters::postgres::{Attempt, Begun, Database, RecordOutcome};
use adapters::retry::{RetryPolicy, retry_while_unless};
use adapters::s3::Store;
use chrono::Utc;
use domain::alert::{Rulebook, Subject};
use domain::report::{Artifacts, Provenance, Timings};
use domain::{Emotion, Failure, FailureCode, Job};
use settings::Settings;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use super::artifacts::ArtifactFolder;
use super::breaker::Breaker;
use super::drain::Stop;
use super::isolation::{Isolation, Turn};
use super::progress::ProgressReporter;
use super::scratch::Scratch;
use super::settle::in_time;
use crate::metrics::Metrics;
use speech::{Analysis, AnalysisControl, Analyzer};

/// A job waits this long for the database to come back: throwing away a finished analysis for a restart of Postgres
/// would waste the work.
const WAIT_FOR_DATABASE: RetryPolicy = RetryPolicy::at_most(Duration::from_secs(120));
const DATABASE: &str = "postgres";
/// A statement may take this much longer than the server allows it: past it, no answer will come.
const ANSWER: Duration = Duration::from_secs(15);
/// While a job in flight has waited this long for the database, no others are taken.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes jobs through all stages. Shared by all slots.
pub struct JobProcessor {
    pub(super) settings: Settings,
    analyzer: Arc<Analyzer>,
    pub(super) database: Database,
    pub(super) store: Store,
    rulebook: Rulebook,
    pub(super) metrics: Arc<Metrics>,
    /// This worker's name in rows and logs.
    pub(super) name: String,
    scratch: Scratch,
    isolation: Isolation,
    pub(super) breaker: Arc<Breaker>,
}

/// How a job ended, before it is settled with the broker.
pub(super) enum Outcome {
    Done,
    /// The row was done before: the message is a repetition.
    AlreadyDone,
    /// The call was deleted meanwhile: nothing of it is kept.
    Deleted,
    /// A later attempt owns the row: this one's result does not count.
    Superseded,
    /// No attempt owns the row any more, and the job has not ended.
    Unowned,
    /// The row has failed before: the message is a repetition.
    AlreadyFailed(Failure),
    Failed(Failure),
    /// Too little is left of the lease.
    Late,
    /// Another suspect has its turn.
    Postponed,
    /// Stopped by the drain deadline or a lost lease.
    Interrupted,
}

impl JobProcessor {
    /// Removes temporary folders of dead workers, and is ready for jobs.
    pub fn new(
        settings: &Settings,
        analyzer: Arc<Analyzer>,
        (database, store): (Database, Store),
        rulebook: Rulebook,
        metrics: Arc<Metrics>,
        name: String,
        breaker: Arc<Breaker>,
    ) -> Self {
        let scratch = Scratch::sweep(&settings.worker.temp_dir);
        let (settings, isolation) = (settings.clone(), Isolation::default());
        Self { settings, analyzer, database, store, rulebook, metrics, name, scratch, isolation, breaker }
    }

    /// Takes a job through all stages and settles its lease. Never fails: an error becomes a row, a retry or a dead
    /// letter. All log lines about the job are in the span `job` (docs/logging.md).
    pub async fn process(&self, lease: Lease, stop: &Stop) {
        let _in_flight = self.metrics.in_flight();
        let span = job_span(&lease);
        self.process_in_span(lease, stop).instrument(span).await;
    }

    async fn process_in_span(&self, lease: Lease, stop: &Stop) {
        let job = match Job::received(&lease.body) {
            Ok(job) => job,
            Err(failure) => {
                return in_time(lease.settle_until(), stop, Box::pin(self.refuse(lease, &failure))).await;
            }
        };
        Span::current().record("job_id", display(job.job_id)).record("batch", display(job.batch_id));
        if job.options.model != self.analyzer.model().name {
            return in_time(lease.settle_until(), stop, Box::pin(self.send_on(&job, lease))).await;
        }
        let cancel = stop.working.child_token();
        let mut begun = None;
        let lost = lease.lost().clone();
        let outcome = tokio::select! {
            outcome = self.attempt(&job, &lease, &cancel, &mut begun) => outcome,
            () = lost.cancelled() => { cancel.cancel(); Outcome::Interrupted }
        };
        let until = lease.settle_until();
        in_time(until, stop, Box::pin(self.settle(&job, lease, begun.as_ref(), outcome))).await;
    }

    /// Begins an attempt when it is the job's turn. Waiting for it is no attempt.
    async fn begin(
        &self,
        job: &Job,
        lease: &Lease,
        cancel: &CancellationToken,
    ) -> Result<(Attempt, Turn<'_>), Outcome> {
        let turn = self.wait_for_turn(lease, cancel, self.isolation.turn(lease.lane)).await?;
        let begin = || self.database.begin_unless_suspect(job, &self.name, lease.redelivered);
        let unfinished = match self.patiently(cancel, begin).await {
            Ok(Attempt::Suspect { unfinished }) => unfinished,
            Ok(attempt) => return Ok((attempt, turn)),
            Err(failure) => return Err(failed_or_interrupted(failure, cancel)),
        };
        drop(turn);
        let place = self.isolation.suspect().ok_or(Outcome::Postponed)?;
        let last = unfinished + 1 == self.settings.worker.max_attempts_unfinished;
        tracing::info!(unfinished, last, "attempts of this job never ended: it runs apart from others of that kind");
        let turn = self.wait_for_turn(lease, cancel, self.isolation.turn_of(place, lease.lane, last)).await?;
        let begin = || self.database.begin_attempt(job, &self.name);
        match self.patiently(cancel, begin).await {
            Ok(attempt) => Ok((attempt, turn)),
            Err(failure) => Err(failed_or_interrupted(failure, cancel)),
        }
    }

    /// As long as the job could still end within its lease.
    async fn wait_for_turn<'a>(
        &self,
        lease: &Lease,
        cancel: &CancellationToken,
        turn: impl Future<Output = Turn<'a>>,
    ) -> Result<Turn<'a>, Outcome> {
        tokio::select! {
            biased;
            turn = turn => Ok(turn),
            () = cancel.cancelled() => Err(Outcome::Interrupted),
            () = tokio::time::sleep_until(lease.begin_until(self.settings.worker.job_timeout())) => Err(Outcome::Late),
        }
    }

    /// `begun` is set once the attempt owns the job's row.
    async fn attempt(
        &self,
        job: &Job,
        lease: &Lease,
        cancel: &CancellationToken,
        begun: &mut Option<Begun>,
    ) -> Outcome {
        let (attempt, _turn) = match self.begin(job, lease, cancel).await {
            Ok(begun) => begun,
            Err(outcome) => return outcome,
        };
        let begun = match attempt {
            // Of a message that was delivered or retried before, Postgres may have forgotten an attempt.
            Attempt::Begin(attempt) => {
                let first = attempt.first && !lease.redelivered && lease.retries == 0;
                &*begun.insert(Begun { first, ..attempt })
            }
            Attempt::AlreadyDone => {
                tracing::info!("already done");
                return Outcome::AlreadyDone;
            }
            Attempt::AlreadyFailed(failure) => return Outcome::AlreadyFailed(failure),
            Attempt::Deleted { run } => return self.leave_deleted(job, run, cancel).await,
            // Asked for again between the two statements, or begun by another worker.
            Attempt::Suspect { .. } => return Outcome::Postponed,
        };
        Span::current().record("attempt", begun.number);
        let limit = self.settings.worker.max_attempts_unfinished;
        // Copies of one job that begin at the same time count too, but only a redelivery means that a worker had the
        // job and did not settle it.
        if begun.number > limit && lease.redelivered {
            let message = format!("{limit} attempts began and never ended: the worker died each time");
            return Outcome::Failed(Failure::new(FailureCode::JobKilledWorker, message));
        }
        let job_timeout = self.settings.worker.job_timeout();
        // The database may have been waited for.
        if lease.begin_until(job_timeout) <= Instant::now() {
            return Outcome::Late;
        }
        tracing::debug!("begun");
        let reporter = ProgressReporter::new(&self.database, job.job_id, lease.lane);
        let limit = job_timeout.min(lease.work_until().saturating_duration_since(Instant::now()));
        let performed = tokio::select! {
            performed = tokio::time::timeout(limit, self.perform(job, begun, &reporter, cancel)) => performed,
            () = cancel.cancelled() => return Outcome::Interrupted,
        };
        match performed {
            Ok(Ok(RecordOutcome::Recorded)) => Outcome::Done,
            Ok(Ok(RecordOutcome::Deleted)) => Outcome::Deleted,
            Ok(Ok(RecordOutcome::Superseded)) => Outcome::Superseded,
            Ok(Ok(RecordOutcome::Unowned)) => Outcome::Unowned,
            Ok(Err(failure)) => failed_or_interrupted(failure, cancel),
            Err(_) => {
                cancel.cancel();
                let mut message = format!("not done after {} s", limit.as_secs());
                if limit < job_timeout {
                    message += ", which is all that was left of the lease (`amqp.consumer_timeout_s`)";
                }
                Outcome::Failed(Failure::new(FailureCode::JobTimeout, message))
            }
        }
    }

    /// The stages themselves: fetch, analyse, upload, record.
    async fn perform(
        &self,
        job: &Job,
        begun: &Begun,
        reporter: &ProgressReporter,
        cancel: &CancellationToken,
    ) -> Result<RecordOutcome, Failure> {
        let start = Instant::now();
        let mut timings = Timings { queued_ms: since(job.submitted_at), ..Timings::default() };
        let model = self.analyzer.model();
        reporter.stage("fetch");
        let folder = self.scratch.folder()?;
        let source = folder.path().join("recording");
        self.store.fetch(&job.object, &source, self.settings.audio.max_bytes).await?;
        self.breaker.fetched(&job.object);
        timings.fetch_ms = ms(start.elapsed());

        let control = Arc::new(AnalysisControl::new(cancel.clone(), job.max_seconds, reporter.interactive()));
        reporter.stage("analyze");
        let following = reporter.follow(control.clone());
        let analysis = self.analyze(job, &source, folder.path(), control).await?;
        drop(following);
        reporter.stage("upload");
        analysis.time_stages(&mut timings);
        timings.total_ms = ms(start.elapsed());
        let embedding = analysis.embedding.clone();
        let mut report = analysis.into_report(Provenance::from(job), &job.options, model, timings);
        // A worker that stood still for a while may have been overtaken: the keys are the later attempt's as well.
        let lost = || self.database.lost_row(job.job_id, begun.token);
        if let Some(lost) = self.patiently(cancel, lost).await? {
            return Ok(lost);
        }
        let target = self.artifacts(job, begun);
        let artifacts = target.upload(&mut report, folder.path(), begun.first, start).await?;
        let embedding = embedding.as_deref().filter(|_| job.options.embedding);
        let matches = self.rulebook.matches(Subject::from(&report));
        let record = || self.database.record_done(&report, &artifacts, embedding, &matches, &self.name, begun.token);
        match self.patiently(cancel, record).await? {
            RecordOutcome::Recorded => {}
            lost @ (RecordOutcome::Superseded | RecordOutcome::Unowned) => return Ok(lost),
            RecordOutcome::Deleted => {
                // Claimed first: a row that was made anew meanwhile may name the same keys.
                let claim = || self.database.claim_leftovers(job.job_id, begun.run);
                if self.patiently(cancel, claim).await? {
                    target.delete().await?;
                }
                return Ok(RecordOutcome::Deleted);
            }
        }
        self.replace(begun.earlier.as_ref(), &artifacts).await;
        if !begun.first {
            target.delete_other_audio(&artifacts).await;
        }
        self.metrics.analyzed(&report.audio, &report.timings);
        self.metrics.warned(&report.warnings);
        let emotion = report.emotion.map_or("no speech", Emotion::label);
        tracing::info!(emotion, confidence = report.confidence, audio_s = report.audio.duration_s, "done");
        Ok(RecordOutcome::Recorded)
    }

    /// A message of a job that was deleted brings nothing back. What a worker uploaded that died since is deleted with it.
    async fn leave_deleted(&self, job: &Job, run: Option<u32>, cancel: &CancellationToken) -> Outcome {
        let Some(run) = run else { return Outcome::Deleted };
        let claim = || self.database.claim_leftovers(job.job_id, run);
        match self.patiently(cancel, claim).await {
            Ok(true) => {}
            Ok(false) => return Outcome::Superseded,
            Err(failure) => return failed_or_interrupted(failure, cancel),
        }
        for run in 0..=run {
            if let Err(failure) = ArtifactFolder::new(&self.store, &self.settings.s3, job, run).delete().await {
                return failed_or_interrupted(failure, cancel);
            }
        }
        Outcome::Deleted
    }

    /// Waits for the database while the job is in flight.
    pub(super) async fn patiently<T, F>(
        &self,
        cancel: &CancellationToken,
        mut statement: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let begun = Instant::now();
        let limit = Duration::from_secs(self.settings.postgres.statement_timeout_s) + ANSWER;
        let attempt = || {
            let statement = statement();
            async move {
                // The server ends what it knows of. Of a host that is gone, TCP tells only after a quarter of an hour.
                let answer = tokio::time::timeout(limit, statement).await.unwrap_or_else(|_| {
                    let message = format!("Postgres gave no answer in {} s", limit.as_secs());
                    Err(Failure::new(FailureCode::DatabaseUnreachable, message))
                });
                if answer.is_err() && begun.elapsed() > PATIENCE {
                    self.breaker.check_database().await;
                }
                answer
            }
        };
        retry_while_unless(cancel, WAIT_FOR_DATABASE, DATABASE, attempt).await
    }

    /// Where the artifacts of this run of the job are.
    pub(super) fn artifacts<'a>(&'a self, job: &'a Job, begun: &Begun) -> ArtifactFolder<'a> {
        ArtifactFolder::new(&self.store, &self.settings.s3, job, begun.run)
    }

    /// Deletes the artifacts of a result that was replaced: no row names them any more.
    async fn replace(&self, earlier: Option<&Artifacts>, now: &Artifacts) {
        let Some(earlier) = earlier.filter(|earlier| *earlier != now) else { return };
        let keys: Vec<_> = earlier.keys().filter(|key| !now.keys().any(|kept| kept == *key)).cloned().collect();
        if let Err(failure) = self.store.delete(&earlier.bucket, &keys).await {
            tracing::warn!(%failure, "the artifacts of the replaced result stay until the call is pruned");
        }
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

pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn since(then: chrono::DateTime<Utc>) -> f64 {
    (Utc::now() - then).num_milliseconds().max(0) as f64
}
