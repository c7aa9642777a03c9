//! A job in flight: settled exactly once, or requeued.

use domain::{Failure, Lane};
use lapin::Acker;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::lease_time::LeaseTime;
use super::link;
use super::message::{self, DeadLetterReason, Message, header};
use super::publisher::Publisher;
use super::topology::DELIVERY_LIMIT;
use super::traceparent::TraceParent;
use crate::boxed;

/// The broker delivers the job to another worker: this worker's result does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease on the job was lost: the broker gives it to another worker")]
pub struct LeaseLost;

/// What [`Lease::retry`] did.
#[derive(Debug)]
pub enum Retry {
    /// The job comes back after this time.
    Scheduled {
        /// Seconds.
        delay_s: u32,
    },
    /// All delays are used up; the lease comes back to be dead-lettered.
    Exhausted(Box<Lease>),
}

/// A job that this worker holds. Dropped unsettled, it goes back to its queue.
#[derive(Debug)]
pub struct Lease {
    /// The message, not yet known to be a job.
    pub body: Vec<u8>,
    /// The job's identity, as its sender claims; not verified.
    pub message_id: Option<String>,
    /// How often it was retried after transient failures.
    pub retries: u32,
    /// Whether the broker has delivered it before, and it was not settled.
    pub redelivered: bool,
    /// The lane it came by.
    pub lane: Lane,
    /// The broker's time limit counts from here.
    delivered: Instant,
    /// How often it was delivered and returned before, as the broker counts for its limit.
    deliveries: u32,
    properties: BasicProperties,
    acker: Option<Acker>,
    session: Arc<Session>,
    /// While it lives, the connection stays open for it.
    held: Option<TaskTrackerToken>,
}

/// What all leases of one connection share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) lost: CancellationToken,
    pub(super) publisher: Publisher,
    /// The queue that the jobs came from, and go back to after a retry.
    pub(super) queue: String,
    pub(super) time: LeaseTime,
}

impl Lease {
    pub(super) fn new(delivery: Delivery, lane: Lane, session: Arc<Session>, held: TaskTrackerToken) -> Self {
        let Delivery { redelivered, properties, data, acker, .. } = delivery;
        Self {
            body: data,
            message_id: properties.message_id().as_ref().map(ToString::to_string),
            retries: message::number(&properties, header::RETRIES).unwrap_or_default(),
            redelivered: redelivered || message::text(&properties, header::REDELIVERED).is_some(),
            lane,
            delivered: Instant::now(),
            deliveries: message::number(&properties, header::DELIVERY_COUNT).unwrap_or_default(),
            properties,
            acker: Some(acker),
            session,
            held: Some(held),
        }
    }

    /// Cancelled when the broker will deliver the job to another worker. Work on it should end.
    pub fn lost(&self) -> &CancellationToken {
        &self.session.lost
    }

    /// Until when a job may begin that may take as long as `job`: past it, hand the lease back.
    pub fn begin_until(&self, job: Duration) -> Instant {
        self.delivered + self.session.time.waiting(job)
    }

    /// Until when the job may be worked on. Some time is left then to settle the lease.
    pub fn work_until(&self) -> Instant {
        self.delivered + self.session.time.working()
    }

    /// Until when the lease must be settled or requeued: soon after, the broker takes it away, and all others of this
    /// worker with it.
    pub fn settle_until(&self) -> Instant {
        self.delivered + self.session.time.settling()
    }

    /// The trace that the job belongs to, where its header is valid.
    pub fn traceparent(&self) -> Option<TraceParent> {
        message::text(&self.properties, header::TRACEPARENT)?.parse().ok()
    }

    /// Acknowledges the job.
    ///
    /// # Errors
    /// [`LeaseLost`]; logged.
    #[boxed]
    pub async fn ack(mut self) -> Result<(), LeaseLost> {
        self.settle().await
    }

    /// Publishes the job to the retry queue of the next delay, confirmed, then acknowledges this delivery.
    ///
    /// # Errors
    /// `broker.unreachable` or `broker.refused`: the job is requeued instead, or the lease was lost.
    #[boxed]
    pub async fn retry(mut self) -> Result<Retry, Failure> {
        let topology = self.session.publisher.topology().clone();
        let Some(delay_s) = topology.delay_s(self.retries) else { return Ok(Retry::Exhausted(Box::new(self))) };
        let next = (&topology, delay_s, self.retries + 1);
        let message = Message::retry(&self.body, &self.properties, &self.session.queue, next);
        self.publish(message).await?;
        // Lost by now: the job is both in the retry queue and delivered elsewhere. Its identity makes it one.
        let _ = self.settle().await;
        Ok(Retry::Scheduled { delay_s })
    }

    /// Publishes the job to the dead-letter queue with the reason, confirmed, then acknowledges this delivery.
    ///
    /// # Errors
    /// `broker.unreachable` or `broker.refused`: the job is requeued instead.
    #[boxed]
    pub async fn dead_letter(mut self, failure: &Failure, worker: &str) -> Result<(), Failure> {
        let (lane, retries) = (self.lane, self.retries);
        let reason = DeadLetterReason { failure, worker, lane, retries, at: chrono::Utc::now() };
        let message = Message::dead(&self.body, &self.properties, &reason, self.session.publisher.topology());
        self.publish(message).await?;
        let _ = self.settle().await;
        Ok(())
    }

    /// Puts the job on the queue of another model, confirmed, then acknowledges this delivery.
    ///
    /// # Errors
    /// `broker.unreachable` or `broker.refused`, with the lease, which is as it was.
    #[boxed]
    pub async fn send_to(mut self, model: &str) -> Result<(), (Failure, Box<Self>)> {
        let queue = self.session.publisher.topology().jobs(&self.lane.of(model));
        let message = Message::moved(self.body.clone(), &self.properties, queue);
        if let Err(failure) = self.publish(message).await {
            return Err((failure, Box::new(self)));
        }
        let _ = self.settle().await;
        Ok(())
    }

    /// Publishes the job to the first retry queue, confirmed, then acknowledges this delivery: it comes back after that
    /// delay. Unlike [`Lease::retry`], this is no failure and counts as none.
    ///
    /// # Errors
    /// `broker.unreachable` or `broker.refused`: the job is requeued instead, or the lease was lost.
    #[boxed]
    pub async fn postpone(mut self) -> Result<(), Failure> {
        let topology = self.session.publisher.topology().clone();
        let Some(delay_s) = topology.delay_s(0) else { return Ok(()) };
        let to = (&topology, delay_s);
        let message = Message::postponed(&self.body, &self.properties, &self.session.queue, to, self.redelivered);
        self.publish(message).await?;
        let _ = self.settle().await;
        Ok(())
    }

    /// Returns the job to its queue: at once, or after the first delay when the broker has counted so many deliveries that
    /// it would soon dead-letter a job that was only waited with.
    #[boxed]
    pub async fn requeue(mut self) {
        if self.deliveries >= DELIVERY_LIMIT.unsigned_abs() / 2 {
            if let Err(error) = self.postpone().await {
                tracing::warn!(%error, "not postponed: the broker delivers the job again");
            }
            return;
        }
        if let Some(acker) = self.acker.take() {
            return_to_queue(&acker).await;
        }
    }

    /// Drops a lease that is lost already, without a word to the broker.
    pub(super) fn forget(mut self) {
        self.acker = None;
    }

    /// Publishes a copy of the job; not when another worker has it by now.
    async fn publish(&self, message: Message) -> Result<(), Failure> {
        if self.session.lost.is_cancelled() {
            log_loss("the connection broke");
            return Err(link::unreachable(LeaseLost.to_string()));
        }
        self.session.publisher.publish(vec![message]).await.remove(0)
    }

    async fn settle(&mut self) -> Result<(), LeaseLost> {
        let Some(acker) = self.acker.take() else { return Err(LeaseLost) };
        let lost = match acker.ack(BasicAckOptions::default()).await {
            Ok(true) => return Ok(()),
            Ok(false) => "the channel is closed".to_owned(),
            Err(e) => e.to_string(),
        };
        log_loss(&lost);
        Err(LeaseLost)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(acker) = self.acker.take() else { return };
        let held = self.held.take();
        // Without a runtime the process is ending, and the broker requeues the job by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                return_to_queue(&acker).await;
                drop(held);
            });
        }
    }
}

fn log_loss(why: &str) {
    tracing::warn!(why, "lease lost: the broker delivers the job again");
}

async fn return_to_queue(acker: &Acker) {
    let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    // An error means that the channel is closed, and the broker has requeued the job already.
    let _ = acker.nack(options).await;
}
