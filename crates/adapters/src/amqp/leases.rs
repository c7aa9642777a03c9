//! The incoming jobs of one queue, for those who work on them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::consume::Link;
use super::lease::Lease;
use crate::boxed;

/// Longest wait for the broker to cancel a consumer.
const PAUSING: Duration = Duration::from_secs(5);

/// The incoming jobs of one queue.
#[derive(Debug)]
pub struct Leases {
    incoming: mpsc::Receiver<Lease>,
    /// Delivered and not taken, oldest first. Never more than the prefetch.
    waiting: VecDeque<Lease>,
    /// How long one job may take; with it, a lease is requeued that can't begin in time.
    job_time: Option<Duration>,
    link: watch::Receiver<Link>,
    stop: CancellationToken,
    gate: watch::Receiver<bool>,
    done: TaskTracker,
}

impl Leases {
    pub(super) fn new(
        incoming: mpsc::Receiver<Lease>,
        link: watch::Receiver<Link>,
        stop: CancellationToken,
        gate: watch::Receiver<bool>,
        done: TaskTracker,
    ) -> Self {
        Self { incoming, waiting: VecDeque::new(), job_time: None, link, stop, gate, done }
    }

    /// Requeues, from now on, what has waited for so long that a job of this time limit could not end within its lease.
    #[must_use]
    pub fn for_jobs_of(mut self, job_time: Duration) -> Self {
        self.job_time = Some(job_time);
        self
    }

    /// The next job; `None` once stopped.
    #[boxed]
    pub async fn recv(&mut self) -> Option<Lease> {
        loop {
            if self.stop.is_cancelled() {
                break;
            }
            let Some(lease) = self.next().await else { break };
            if lease.lost().is_cancelled() {
                lease.forget();
            } else if !*self.gate.borrow() {
                // Requeued while the consumer is there, the broker would deliver it again at once.
                self.paused().await;
                lease.requeue().await;
            } else if self.begin_until(&lease).is_some_and(|until| until <= Instant::now()) {
                requeue_late(lease).await;
            } else {
                return Some(lease);
            }
        }
        self.incoming.close();
        while let Some(lease) = self.waiting.pop_front().or_else(|| self.incoming.try_recv().ok()) {
            lease.requeue().await;
        }
        None
    }

    async fn next(&mut self) -> Option<Lease> {
        if let Some(lease) = self.waiting.pop_front() {
            return Some(lease);
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            lease = self.incoming.recv() => lease,
        }
    }

    /// Watches over the jobs that were delivered, while there is no slot for them: each is requeued when it can't begin
    /// in time any more. Never ends by itself; nothing is lost when it is dropped.
    #[boxed]
    pub async fn keep(&mut self) -> Infallible {
        loop {
            let due = self.waiting.front().and_then(|lease| self.begin_until(lease));
            let late = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                lease = self.incoming.recv() => match lease {
                    Some(lease) => self.waiting.push_back(lease),
                    None => std::future::pending().await,
                },
                // On a task of its own: this one may be dropped at any moment.
                () = late => if let Some(lease) = self.waiting.pop_front() {
                    tokio::spawn(requeue_late(lease));
                },
            }
        }
    }

    fn begin_until(&self, lease: &Lease) -> Option<Instant> {
        self.job_time.map(|job_time| lease.begin_until(job_time))
    }

    /// Waits until the consumer is cancelled, or has no connection; for a few seconds at most.
    async fn paused(&self) {
        let mut link = self.link.clone();
        let paused = link.wait_for(|link| *link != Link::Up);
        let _ = tokio::time::timeout(PAUSING, paused).await;
    }

    /// Follows the state of the connection.
    pub fn health(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Waits, after the stop, until all leases are settled and the connection is closed.
    #[boxed]
    pub async fn closed(&self) {
        self.done.wait().await;
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn requeue_late(lease: Lease) {
    if lease.lost().is_cancelled() {
        return lease.forget();
    }
    let lane = lease.lane.label();
    tracing::info!(lane, "requeued: no slot was free in time; prefetch fewer jobs (`amqp.prefetch`)");
    lease.requeue().await;
}
