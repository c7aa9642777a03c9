//! The end of a job: recorded in the database first and told to the broker last. A crash in between repeats the job, and
//! never loses it.

use adapters::amqp::{Lease, LeaseLost, Retry};
use adapters::postgres::{Begun, RecordOutcome};
use domain::{Class, Failure, FailureCode, Job, JobId};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::drain::Stop;
use super::processor::{JobProcessor, Outcome};

/// Longest that a job may be settled after the drain deadline: whoever stops the worker kills it soon after.
const SETTLING: Duration = Duration::from_secs(10);

impl JobProcessor {
    /// Sets aside what is no job. Its sender's row, named by the message's id, gets the reason, unless the message claims to
    /// be another job: then no row and no object is touched.
    pub(super) async fn refuse(&self, lease: Lease, failure: &Failure) {
        Span::current().record("job_id", lease.message_id.as_deref().unwrap_or_default());
        let named = lease.message_id.as_deref().and_then(|id| id.parse().ok()).map(JobId);
        if let Some(job) = named.filter(|_| failure.code != FailureCode::JobIdentityMismatch) {
            let record = || self.database.set_aside(job, failure, &self.name);
            if let Err(error) = self.patiently(&CancellationToken::new(), record).await {
                tracing::error!(%failure, %error, "the refusal can't be recorded: the broker redelivers the message");
                self.breaker.check_database().await;
                if !*self.breaker.gate().borrow() {
                    self.breaker.paused().await;
                }
                return lease.requeue().await;
            }
        }
        tracing::warn!(%failure, "dead-lettered: not a job");
        self.metrics.failed(failure.code);
        self.dead_letter(lease, failure).await;
    }

    /// A job for another model, by an operator's hand: it goes to the queue of its model, and its row is not touched, so
    /// that nothing counts as an attempt.
    pub(super) async fn send_on(&self, job: &Job, lease: Lease) {
        let model = &job.options.model;
        match lease.send_to(model).await {
            Ok(()) => tracing::warn!(model, "a job for another model came by this one's queue: routed to its own"),
            Err((error, lease)) => {
                let message = format!("the job asks for model `{model}`; its queue can't be published to: {error}");
                let failure = Failure::new(FailureCode::ModelMismatch, message);
                self.retry_later(job, *lease, None, &failure).await;
            }
        }
    }

    /// Records how the job ended, then settles the lease.
    pub(super) async fn settle(&self, job: &Job, lease: Lease, begun: Option<&Begun>, outcome: Outcome) {
        if let Outcome::Failed(failure) = &outcome
            && self.breaker.blames(failure, job).await
        {
            return self.requeue(job, lease, begun, failure).await;
        }
        match outcome {
            Outcome::Done | Outcome::AlreadyDone => {
                let (lane, is_done_now) = (lease.lane, matches!(outcome, Outcome::Done));
                match lease.ack().await {
                    Ok(()) if is_done_now => self.metrics.done(),
                    Ok(()) => {}
                    // The row is there: the worker that has the job now finds it done.
                    Err(LeaseLost) => self.metrics.lease_lost(lane),
                }
            }
            Outcome::Deleted => self.forget(lease).await,
            Outcome::Superseded => self.yield_to_later(lease).await,
            Outcome::Unowned => self.begin_again(lease).await,
            Outcome::Interrupted => {
                let failure =
                    Failure::new(FailureCode::JobCancelled, "stopped before the end; another worker takes over");
                if lease.lost().is_cancelled() {
                    self.metrics.lease_lost(lease.lane);
                }
                self.note_retry(job, begun, &failure).await;
                lease.requeue().await;
            }
            Outcome::Late => {
                tracing::info!("requeued: too little is left of the lease");
                self.note_returned(job, begun).await;
                lease.requeue().await;
            }
            Outcome::Postponed => {
                tracing::info!("postponed: another job whose worker died has its turn");
                if let Err(error) = lease.postpone().await {
                    tracing::warn!(%error, "not postponed: the broker delivers the job again");
                }
            }
            Outcome::AlreadyFailed(failure) => {
                tracing::warn!(%failure, "failed before");
                self.metrics.failed(failure.code);
                self.dead_letter(lease, &failure).await;
            }
            Outcome::Failed(failure) if failure.class() == Class::Transient => {
                self.retry_later(job, lease, begun, &failure).await;
            }
            Outcome::Failed(failure) => self.give_up(job, lease, begun, &failure).await,
        }
    }

    async fn retry_later(&self, job: &Job, lease: Lease, begun: Option<&Begun>, failure: &Failure) {
        self.note_retry(job, begun, failure).await;
        let (lane, lost) = (lease.lane, lease.lost().clone());
        match lease.retry().await {
            Ok(Retry::Scheduled { delay_s }) => {
                self.metrics.retried(failure.code);
                tracing::warn!(%failure, delay_s, "retried later");
            }
            Ok(Retry::Exhausted(lease)) => self.give_up(job, *lease, begun, failure).await,
            // The lease was dropped with it: the broker delivers the job again.
            Err(error) => {
                if lost.is_cancelled() {
                    self.metrics.lease_lost(lane);
                }
                tracing::warn!(%failure, %error, "the retry can't be published: the broker redelivers the job");
            }
        }
    }

    /// A service fails every job: this one goes back as if it had not been taken.
    async fn requeue(&self, job: &Job, lease: Lease, begun: Option<&Begun>, failure: &Failure) {
        tracing::warn!(%failure, "requeued: the service is at fault, not the job");
        self.note_returned(job, begun).await;
        self.breaker.paused().await;
        lease.requeue().await;
    }

    /// The attempt counts as if it had not begun.
    async fn note_returned(&self, job: &Job, begun: Option<&Begun>) {
        let Some(begun) = begun else { return };
        if let Err(error) = self.database.note_returned(job.job_id, begun.token).await {
            tracing::debug!(%error, "the attempt stays counted until the database can be told");
            self.breaker.owe(job.job_id, begun.token);
        }
    }

    /// An attempt that never began has nothing to end.
    async fn note_retry(&self, job: &Job, begun: Option<&Begun>, failure: &Failure) {
        let Some(begun) = begun else { return };
        if let Err(error) = self.database.note_retry(job.job_id, failure, begun.token).await {
            tracing::warn!(%error, "the end of the attempt is not recorded: it stays counted");
        }
    }

    /// The row first, then the dead letter.
    async fn give_up(&self, job: &Job, lease: Lease, begun: Option<&Begun>, failure: &Failure) {
        let token = begun.map(|begun| begun.token);
        let record = || self.database.record_failed(job, failure, &self.name, token);
        match self.patiently(&CancellationToken::new(), record).await {
            Ok(RecordOutcome::Recorded) => {}
            Ok(RecordOutcome::Superseded) => return self.yield_to_later(lease).await,
            Ok(RecordOutcome::Unowned) => return self.begin_again(lease).await,
            Ok(RecordOutcome::Deleted) => return self.forget(lease).await,
            Err(error) if self.breaker.blames(&error, job).await => {
                return self.requeue(job, lease, begun, &error).await;
            }
            // Postgres will never accept a row of this job: the dead letter says so.
            Err(error) if error.code == FailureCode::DatabaseRefused => {
                tracing::error!(%failure, %error, "dead-lettered without a row");
                self.metrics.failed(failure.code);
                let message = format!("{}; it could not be recorded either: {}", failure.message, error.message);
                return self.dead_letter(lease, &Failure::new(failure.code, message)).await;
            }
            Err(error) => {
                tracing::error!(%failure, %error, "the failure can't be recorded: the broker redelivers the job");
                return lease.requeue().await;
            }
        }
        tracing::warn!(%failure, "failed");
        if let Some(begun) = begun.filter(|begun| begun.run > 0)
            && let Err(error) = self.artifacts(job, begun).delete().await
        {
            tracing::warn!(%error, "what the failed repetition uploaded stays until the call is pruned");
        }
        self.metrics.failed(failure.code);
        self.dead_letter(lease, failure).await;
    }

    /// A later attempt has the row, and a message of its own: this message has served.
    async fn yield_to_later(&self, lease: Lease) {
        let lane = lease.lane;
        tracing::warn!("overtaken by a later attempt: this one's result is dropped");
        if lease.ack().await == Err(LeaseLost) {
            self.metrics.lease_lost(lane);
        }
    }

    /// Acknowledged, the message might be the last one of a job that is still open.
    async fn begin_again(&self, lease: Lease) {
        tracing::warn!("requeued: the database does not know of this attempt any more, and the job has not ended");
        lease.requeue().await;
    }

    async fn forget(&self, lease: Lease) {
        let lane = lease.lane;
        let failure =
            Failure::new(FailureCode::JobDeleted, "the call was deleted, before or while the job was in flight");
        tracing::info!(%failure, "not recorded; nothing of it is kept");
        self.metrics.failed(failure.code);
        if lease.ack().await == Err(LeaseLost) {
            self.metrics.lease_lost(lane);
        }
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

/// Settles a lease until this moment, and no longer than moments past the end of a drain; then the lease is dropped, and so
/// requeued.
pub(super) async fn in_time(until: Instant, stop: &Stop, settling: impl Future<Output = ()>) {
    let stopped = async {
        stop.working.cancelled().await;
        tokio::time::sleep(SETTLING).await;
    };
    tokio::select! {
        () = settling => {}
        () = tokio::time::sleep_until(until) => {
            tracing::warn!("not settled in time: requeued before the broker takes all leases away");
        }
        () = stopped => tracing::warn!("not settled before the worker ends: requeued"),
    }
}
