//! One job, from its message to its settlement.

use adapters::amqp::{Lease, Retry};
use adapters::postgres::{Attempt, Database, RecordOutcome};
use adapters::s3::Store;
use chrono::Utc;
use domain::alert::{Rulebook, Subject};
use domain::report::{Artifacts, Provenance, Timings};
use domain::{Class, Failure, FailureCode, Job, Report};
use settings::Settings;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::drain::Stop;
use super::patience::patiently;
use super::scratch::Scratch;
use crate::metrics::Metrics;
use speech::artifacts::{AUDIO, EMBEDDING, RESULT};
use speech::{Analysis, Analyzer};

/// Longest wait for the database to come back before a job is handed on.
const DATABASE_PATIENCE: Duration = Duration::from_secs(120);

/// Everything a job needs, shared by all slots.
pub struct Workshop {
    /// All settings.
    pub settings: Settings,
    /// Voice detector and model.
    pub analyzer: Arc<Analyzer>,
    /// Rows.
    pub database: Database,
    /// Recordings and artifacts.
    pub store: Store,
    /// Rules that raise alerts.
    pub rulebook: Rulebook,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// This worker's name in rows and logs.
    pub name: String,
    scratch: Scratch,
    /// Jobs share it; one that was delivered before takes it alone, so that if it is what killed
    /// a worker, it takes no neighbours along.
    company: RwLock<()>,
}

/// How a job ended, before it is settled with the broker.
enum Outcome {
    Done,
    /// The call was deleted meanwhile: nothing of it is kept.
    Deleted,
    Failed(Failure),
    /// Stopped by the drain or a lost lease.
    Interrupted,
}

impl Workshop {
    /// Sweeps the temporary folder and is ready for jobs.
    pub fn open(
        settings: &Settings,
        analyzer: Arc<Analyzer>,
        database: Database,
        store: Store,
        rulebook: Rulebook,
        metrics: Arc<Metrics>,
        name: String,
    ) -> Self {
        let scratch = Scratch::sweep(&settings.worker.temp_dir);
        let company = RwLock::new(());
        Self { settings: settings.clone(), analyzer, database, store, rulebook, metrics, name, scratch, company }
    }

    /// Takes a job through all stages and settles its lease. Never fails: whatever goes wrong
    /// becomes a row, a retry or a dead letter.
    pub async fn process(&self, lease: Lease, stop: &Stop) {
        let job = match Job::from_json(&lease.body) {
            Ok(job) => job,
            Err(failure) => {
                tracing::warn!(message_id = lease.message_id, %failure, "set aside: not a job");
                self.metrics.failed(failure.code);
                return self.set_aside(lease, &failure).await;
            }
        };
        let cancel = stop.working.child_token();
        let outcome = {
            let _alone;
            let _shared;
            if lease.redelivered {
                _alone = self.company.write().await;
            } else {
                _shared = self.company.read().await;
            }
            let lost = lease.lost().clone();
            tokio::select! {
                outcome = self.attempt(&job, &lease, &cancel) => outcome,
                () = lost.cancelled() => { cancel.cancel(); Outcome::Interrupted }
            }
        };
        self.settle(&job, lease, outcome).await;
    }

    async fn attempt(&self, job: &Job, lease: &Lease, cancel: &CancellationToken) -> Outcome {
        let begun = patiently(DATABASE_PATIENCE, cancel, || self.database.begin_attempt(job, &self.name)).await;
        let number = match begun {
            Ok(Attempt::Begin { number }) => number,
            Ok(Attempt::AlreadyDone) => {
                tracing::info!(job_id = %job.job_id, "already done: nothing to do");
                return Outcome::Done;
            }
            Ok(Attempt::AlreadyFailed(failure)) => return Outcome::Failed(failure),
            Err(failure) => return failed_or_interrupted(failure, cancel),
        };
        let limit = self.settings.worker.max_attempts_unfinished;
        // Copies of one job that begin together count too, but only the broker's word says that
        // a worker had the job and did not settle it.
        if number > limit && lease.redelivered {
            let message = format!("{limit} attempts began and never ended: the worker died each time");
            return Outcome::Failed(Failure::new(FailureCode::JobKilledWorker, message));
        }
        tracing::debug!(job_id = %job.job_id, number, retries = lease.retries, "begun");
        let limit = self.settings.worker.job_timeout();
        let performed = tokio::select! {
            performed = tokio::time::timeout(limit, self.perform(job, cancel)) => performed,
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
    async fn perform(&self, job: &Job, cancel: &CancellationToken) -> Result<RecordOutcome, Failure> {
        let begun = Instant::now();
        let mut timings = Timings { queued_ms: since(job.submitted_at), ..Timings::default() };
        let model = self.analyzer.model();
        if job.options.model != model.name {
            let message = format!("the job asks for model `{}`, this worker runs `{}`", job.options.model, model.name);
            return Err(Failure::new(FailureCode::ModelMismatch, message));
        }
        let folder = self.scratch.folder()?;
        let source = folder.path().join("recording");
        self.store.fetch(&job.object, &source, self.settings.audio.max_bytes).await?;
        timings.fetch_ms = ms(begun.elapsed());

        let analysis = self.analyze(job, &source, folder.path(), cancel).await?;
        timings.preprocess_ms = ms(analysis.preprocess);
        timings.infer_ms = ms(analysis.infer);
        timings.total_ms = ms(begun.elapsed());
        let embedding = analysis.embedding.clone();
        let mut report = analysis.into_report(Provenance::from(job), &job.options, model, timings);
        let artifacts = self.upload(job, &mut report, folder.path(), begun).await?;
        let embedding = job.options.embedding.then_some(embedding.as_slice());
        let matches = self.rulebook.matches(Subject::from(&report));
        let record = || self.database.record_done(&report, &artifacts, embedding, &matches, &self.name);
        if patiently(DATABASE_PATIENCE, cancel, record).await? == RecordOutcome::Deleted {
            let Artifacts { bucket, result_key, audio_key, embedding_key } = artifacts;
            let keys: Vec<_> = [result_key, audio_key].into_iter().chain(embedding_key).collect();
            self.store.delete(&bucket, &keys).await?;
            return Ok(RecordOutcome::Deleted);
        }
        self.metrics.heard(&report.audio, &report.timings);
        let (emotion, confidence) = (report.emotion, report.confidence);
        tracing::info!(job_id = %job.job_id, %emotion, confidence, audio_s = report.audio.duration_s, "done");
        Ok(RecordOutcome::Recorded)
    }

    async fn analyze(
        &self,
        job: &Job,
        source: &Path,
        out: &Path,
        cancel: &CancellationToken,
    ) -> Result<Analysis, Failure> {
        let options = job.options.clone();
        let (analyzer, cancel) = (self.analyzer.clone(), cancel.clone());
        let (source, out) = (source.to_owned(), out.to_owned());
        tokio::task::spawn_blocking(move || analyzer.analyze(&source, &options, &out, &cancel))
            .await
            .unwrap_or_else(|e| Err(Failure::new(FailureCode::WorkerInternal, format!("the analysis ended: {e}"))))
    }

    /// Uploads what `folder` holds under the job's own prefix; `result.json` comes last, so that
    /// whoever sees it sees everything.
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
            embedding_key: job.options.embedding.then(|| key(EMBEDDING.0)),
        })
    }

    /// Tells the database and the broker how the job ended. The broker comes last: until then a
    /// crash leads to a repetition, never to a loss.
    async fn settle(&self, job: &Job, lease: Lease, outcome: Outcome) {
        match outcome {
            Outcome::Done => match lease.ack().await {
                Ok(()) => self.metrics.done(),
                // The row is there; whoever has the job now will find it done.
                Err(lost) => tracing::warn!(job_id = %job.job_id, "{lost}"),
            },
            Outcome::Deleted => {
                let failure = Failure::new(FailureCode::JobDeleted, "the call was deleted while the job was in hand");
                tracing::info!(job_id = %job.job_id, %failure, "not recorded; its artifacts are deleted");
                self.metrics.failed(failure.code);
                if let Err(lost) = lease.ack().await {
                    tracing::warn!(job_id = %job.job_id, "{lost}");
                }
            }
            Outcome::Interrupted => {
                let failure =
                    Failure::new(FailureCode::JobCancelled, "stopped before the end; another worker takes over");
                if let Err(error) = self.database.note_retry(job, &failure).await {
                    tracing::warn!(job_id = %job.job_id, %error, "the interrupted attempt stays counted");
                }
                lease.hand_back().await;
            }
            Outcome::Failed(failure) if failure.class() == Class::Transient => {
                self.try_later(job, lease, &failure).await;
            }
            Outcome::Failed(failure) => self.give_up(job, lease, &failure).await,
        }
    }

    async fn try_later(&self, job: &Job, lease: Lease, failure: &Failure) {
        if let Err(error) = self.database.note_retry(job, failure).await {
            tracing::warn!(job_id = %job.job_id, %error, "the retry is not on record");
        }
        match lease.retry(failure).await {
            Ok(Retry::Scheduled { delay_s }) => {
                self.metrics.retried(failure.code);
                tracing::warn!(job_id = %job.job_id, %failure, delay_s, "tried again later");
            }
            Ok(Retry::Exhausted(lease)) => self.give_up(job, *lease, failure).await,
            // The lease was dropped with it: the broker delivers the job again.
            Err(error) => tracing::warn!(job_id = %job.job_id, %failure, %error, "left to the broker"),
        }
    }

    /// The row first, then the dead letter.
    async fn give_up(&self, job: &Job, lease: Lease, failure: &Failure) {
        let never = CancellationToken::new();
        let recorded = patiently(DATABASE_PATIENCE, &never, || self.database.record_failed(job, failure, &self.name));
        match recorded.await {
            Ok(()) => {}
            // Postgres will have no row of this job, however often it is asked: the dead letter says so.
            Err(error) if error.code == FailureCode::DatabaseRefused => {
                tracing::error!(job_id = %job.job_id, %failure, %error, "set aside without a row");
                self.metrics.failed(failure.code);
                let message = format!("{}; it could not be recorded either: {}", failure.message, error.message);
                return self.set_aside(lease, &Failure::new(failure.code, message)).await;
            }
            Err(error) => {
                tracing::error!(job_id = %job.job_id, %failure, %error, "the failure can't be recorded; left to the broker");
                return lease.hand_back().await;
            }
        }
        tracing::warn!(job_id = %job.job_id, %failure, "failed");
        self.metrics.failed(failure.code);
        self.set_aside(lease, failure).await;
    }

    async fn set_aside(&self, lease: Lease, failure: &Failure) {
        if let Err(error) = lease.dead_letter(failure, &self.name).await {
            tracing::warn!(%error, "not set aside yet: the broker delivers the message again");
        }
    }
}

/// A failure that came of the cancellation is none of the job's own.
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
