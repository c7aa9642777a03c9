//! Confirmed publishing over a connection that mends itself.

use domain::{Failure, Job};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use super::Settings;
use super::backoff::Backoff;
use super::confirms::{Outcome, Press};
use super::link::unreachable;
use super::message::Message;
use super::topology::{Lane, Topology};

/// Messages in flight at once: one disk sync of the broker confirms many, and a window of job
/// messages stays below a megabyte.
const WINDOW: usize = 500;

/// Publishes over its own connection, one window at a time. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Publisher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    topology: Topology,
    press: Mutex<Option<Press>>,
}

impl Publisher {
    /// A publisher of these settings. The network is first used when something is published.
    pub fn new(settings: &Settings) -> Self {
        let (settings, topology) = (settings.clone(), Topology::new(settings));
        Self(Arc::new(Shared { settings, topology, press: Mutex::default() }))
    }

    /// Connects now, once, if it is not connected; asserts the topology.
    ///
    /// # Errors
    /// `broker.unreachable`, at once.
    pub async fn ready(&self) -> Result<(), Failure> {
        self.0.press(&mut *self.0.press.lock().await).await.map(|_| ())
    }

    /// Publishes one job and waits for the broker's confirmation.
    ///
    /// Reconnects as needed for `amqp.confirm_timeout_s`; waits longer only while the broker
    /// blocks publishers. The message may have been published twice: job identities make that harmless.
    ///
    /// # Errors
    /// `broker.unreachable`: not confirmed.
    pub async fn publish_job(&self, job: &Job, lane: Lane) -> Result<(), Failure> {
        self.publish(vec![Message::job(job, lane, &self.0.topology)]).await.remove(0)
    }

    /// Publishes jobs, many in flight; the result of each is at its position.
    pub async fn publish_jobs(&self, jobs: &[Job], lane: Lane) -> Vec<Result<(), Failure>> {
        let mut results = Vec::with_capacity(jobs.len());
        for window in jobs.chunks(WINDOW) {
            results
                .extend(self.publish(window.iter().map(|j| Message::job(j, lane, &self.0.topology)).collect()).await);
        }
        results
    }

    /// Publishes to the alerts exchange, confirmed; nobody listening is no error.
    ///
    /// # Errors
    /// `broker.unreachable`: not confirmed.
    pub async fn publish_alert(&self, routing_key: &str, body: &[u8]) -> Result<(), Failure> {
        self.publish(vec![Message::alert(routing_key, body, &self.0.topology)]).await.remove(0)
    }

    /// Whether the broker keeps us from publishing for want of memory or disk. `None` while
    /// something is being published, so that asking never waits.
    pub fn blocked(&self) -> Option<bool> {
        self.0.press.try_lock().ok().map(|press| press.as_ref().is_some_and(Press::is_blocked))
    }

    /// Closes the connection in order. Publishing again opens it anew.
    pub async fn close(&self) {
        if let Some(press) = self.0.press.lock().await.take() {
            press.close().await;
        }
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.0.topology
    }

    /// Publishes at most a window of messages; as many results as messages.
    pub(super) async fn publish(&self, mut messages: Vec<Message>) -> Vec<Result<(), Failure>> {
        let patience = Duration::from_secs(self.0.settings.confirm_timeout_s);
        let mut backoff = Backoff::new(Duration::from_secs(self.0.settings.reconnect_max_s));
        let mut results: Vec<Result<(), Failure>> = messages.iter().map(|_| Ok(())).collect();
        let mut open: Vec<usize> = (0..messages.len()).collect();
        let mut press = self.0.press.lock().await;
        let begun = Instant::now();
        loop {
            let attempt = match self.0.press(&mut press).await {
                Ok(ready) => ready.print(&messages).await,
                Err(failure) => Err(failure),
            };
            let failure = match attempt {
                Err(failure) => failure,
                Ok(outcomes) => {
                    let rest: Vec<usize> = (0..open.len()).filter(|i| outcomes[*i] != Outcome::Confirmed).collect();
                    let Some(first) = rest.first() else { return results };
                    let failure = match outcomes[*first] {
                        Outcome::Returned => unreachable("RabbitMQ has no queue for a message: was it deleted?"),
                        _ => unreachable("RabbitMQ refused a message: look at the queue's limits and the broker's log"),
                    };
                    messages = rest.iter().map(|i| messages[*i].clone()).collect();
                    open = rest.iter().map(|i| open[*i]).collect();
                    failure
                }
            };
            // A new connection declares the topology again: what was returned then finds its queue.
            *press = None;
            if begun.elapsed() >= patience {
                for i in open {
                    results[i] = Err(failure.clone());
                }
                return results;
            }
            let pause = backoff.pause();
            tracing::warn!(%failure, ?pause, "publishing again after a pause");
            tokio::time::sleep(pause).await;
        }
    }
}

impl Shared {
    async fn press<'a>(&self, slot: &'a mut Option<Press>) -> Result<&'a Press, Failure> {
        if !slot.as_ref().is_some_and(Press::usable) {
            *slot = Some(Press::open(&self.settings, &self.topology).await?);
        }
        slot.as_ref().ok_or_else(|| unreachable("not connected"))
    }
}
