//! Confirmed publishing over a connection that is opened again when it breaks.

use domain::{Failure, Job, Lane};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};

use super::Settings;
use super::confirms::{ConfirmChannel, PublishOutcome};
use super::link::{refused, unreachable};
use super::message::Message;
use super::topology::Topology;
use crate::boxed;
use crate::retry::Backoff;

/// Messages in flight at once: one disk sync of the broker confirms many, and a window of job
/// messages stays below a megabyte.
const WINDOW: usize = 500;

/// Longest that [`Publisher::accepts`] waits for earlier messages and for a connection.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(10);

/// Publishes over its own connection, one window at a time. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Publisher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    topology: Topology,
    channel: Mutex<Option<ConfirmChannel>>,
    /// Whether the broker blocks the latest connection: known while a message waits and holds the channel.
    blocked: RwLock<Option<watch::Receiver<bool>>>,
}

impl Publisher {
    /// A publisher of these settings. The network is first used when something is published.
    pub fn new(settings: &Settings) -> Self {
        let (settings, topology) = (settings.clone(), Topology::new(settings));
        Self(Arc::new(Shared { settings, topology, channel: Mutex::default(), blocked: RwLock::default() }))
    }

    /// Connects now, once, if it is not connected; asserts the topology.
    ///
    /// # Errors
    /// `broker.unreachable`, `broker.refused` or `config.invalid`, at once.
    #[boxed]
    pub async fn ready(&self) -> Result<(), Failure> {
        self.0.open(&mut *self.0.channel.lock().await).await.map(|_| ())
    }

    /// Whether a message that is published now would be stored now, for callers that would rather refuse than wait: as
    /// [`Self::ready`], and neither blocked nor behind messages that the broker does not confirm. RabbitMQ tells a connection
    /// that it is blocked only when that connection publishes, so the first message of a shortage still waits.
    ///
    /// # Errors
    /// As [`Self::ready`]; `broker.unreachable` while the broker blocks publishers, and after ten seconds.
    #[boxed]
    pub async fn accepts(&self) -> Result<(), Failure> {
        if !self.blocked() {
            match tokio::time::timeout(ACCEPTED_WITHIN, self.ready()).await {
                Ok(ready) => ready?,
                Err(_) if self.blocked() => {}
                Err(_) => {
                    let s = ACCEPTED_WITHIN.as_secs();
                    return Err(unreachable(format!(
                        "RabbitMQ did not answer, or confirm earlier messages, for {s} s"
                    )));
                }
            }
        }
        if self.blocked() {
            return Err(unreachable("RabbitMQ blocks publishers: short of memory or disk"));
        }
        Ok(())
    }

    /// Publishes one job and waits for the broker's confirmation.
    ///
    /// Reconnects as needed for `amqp.confirm_timeout_s`; waits longer only while the broker
    /// blocks publishers. The message may have been published twice: job identities make that harmless.
    ///
    /// # Errors
    /// `broker.unreachable`: not confirmed in time. `broker.refused`, `config.invalid`.
    #[boxed]
    pub async fn publish_job(&self, job: &Job, lane: Lane) -> Result<(), Failure> {
        self.publish(vec![Message::job(job, lane, &self.0.topology)]).await.remove(0)
    }

    /// Publishes jobs, many in flight; the result of each is at its position.
    #[boxed]
    pub async fn publish_jobs(&self, jobs: &[Job], lane: Lane) -> Vec<Result<(), Failure>> {
        let mut results = Vec::with_capacity(jobs.len());
        for window in jobs.chunks(WINDOW) {
            results
                .extend(self.publish(window.iter().map(|j| Message::job(j, lane, &self.0.topology)).collect()).await);
        }
        results
    }

    /// Publishes to the alerts exchange, confirmed. An exchange without a bound queue is no error.
    ///
    /// # Errors
    /// As [`Publisher::publish_job`].
    #[boxed]
    pub async fn publish_alert(&self, routing_key: &str, body: &[u8]) -> Result<(), Failure> {
        self.publish(vec![Message::alert(routing_key, body, &self.0.topology)]).await.remove(0)
    }

    /// Whether the broker blocks this publisher, short of memory or disk. Never waits.
    pub fn blocked(&self) -> bool {
        let blocked = self.0.blocked.read().unwrap_or_else(PoisonError::into_inner);
        // A connection that has ended is blocked no more.
        blocked.as_ref().is_some_and(|blocked| blocked.has_changed().is_ok() && *blocked.borrow())
    }

    /// Closes the connection. Publishing again opens a new one.
    #[boxed]
    pub async fn close(&self) {
        if let Some(channel) = self.0.channel.lock().await.take() {
            channel.close().await;
        }
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.0.topology
    }

    /// Publishes at most a window of messages; as many results as messages.
    #[boxed]
    pub(super) async fn publish(&self, mut messages: Vec<Message>) -> Vec<Result<(), Failure>> {
        let limit = Duration::from_secs(self.0.settings.confirm_timeout_s);
        let mut backoff = Backoff::new(Duration::from_secs(self.0.settings.reconnect_max_s));
        let mut results: Vec<Result<(), Failure>> = messages.iter().map(|_| Ok(())).collect();
        // Positions of the messages that are not confirmed yet.
        let mut open: Vec<usize> = (0..messages.len()).collect();
        let mut slot = self.0.channel.lock().await;
        // Put back when every message is confirmed: dropped in between, a channel has confirms open that would be taken for
        // those of the next messages.
        let mut channel = slot.take();
        let begun = Instant::now();
        loop {
            let attempt = match self.0.open(&mut channel).await {
                Ok(open) => open.publish(&messages).await,
                Err(failure) => Err(failure),
            };
            let try_again;
            let failure = match attempt {
                Err(failure) => {
                    try_again = failure.is_unreachable();
                    failure
                }
                Ok(outcomes) => {
                    let rest: Vec<usize> =
                        (0..open.len()).filter(|i| outcomes[*i] != PublishOutcome::Confirmed).collect();
                    let Some(first) = rest.first() else {
                        *slot = channel;
                        return results;
                    };
                    let failure = match outcomes[*first] {
                        PublishOutcome::Returned => refused("RabbitMQ has no queue for a message: was it deleted?"),
                        _ => refused("RabbitMQ refused a message: look at the queue's limits and the broker's log"),
                    };
                    try_again = true;
                    messages = rest.iter().map(|i| messages[*i].clone()).collect();
                    open = rest.iter().map(|i| open[*i]).collect();
                    failure
                }
            };
            // A new connection declares the topology again, so that a returned message finds its queue.
            channel = None;
            if !try_again || begun.elapsed() >= limit {
                for i in open {
                    results[i] = Err(failure.clone());
                }
                return results;
            }
            let pause = backoff.pause();
            tracing::warn!(%failure, ?pause, "not published; trying again after a pause");
            tokio::time::sleep(pause).await;
        }
    }
}

impl Shared {
    /// The channel in `slot`; a new one where there is none that works.
    async fn open<'a>(&self, slot: &'a mut Option<ConfirmChannel>) -> Result<&'a ConfirmChannel, Failure> {
        if !slot.as_ref().is_some_and(ConfirmChannel::usable) {
            let channel = ConfirmChannel::open(&self.settings, &self.topology).await?;
            *self.blocked.write().unwrap_or_else(PoisonError::into_inner) = Some(channel.blocked());
            *slot = Some(channel);
        }
        slot.as_ref().ok_or_else(|| unreachable("not connected"))
    }
}
