//! Leases on jobs from a supervised connection: connect, declare, limit the prefetch, consume;
//! at any error cancel the leases, pause, and build everything anew.
//!
//! The client's own recovery is not used: leases must learn that they are lost.

use domain::Failure;
use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer, Event};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::backoff::Backoff;
use super::lease::{Lease, Session};
use super::link;
use super::publisher::Publisher;
use super::topology::{Lane, Topology, short};

/// Whether jobs can come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not yet, or not any more.
    Connecting {
        /// What is in the way.
        why: String,
    },
    /// Consuming.
    Up,
}

/// The incoming jobs of one lane.
#[derive(Debug)]
pub struct Leases {
    incoming: mpsc::Receiver<Lease>,
    link: watch::Receiver<Link>,
    lost: Arc<AtomicU64>,
    stop: CancellationToken,
    done: TaskTracker,
}

/// Begins to consume a lane, with at most `prefetch` jobs unacknowledged.
///
/// When `stop` fires, or the leases are dropped, no new ones come; the connection stays open until all leases are settled.
/// Must be called within a Tokio runtime.
#[expect(clippy::needless_pass_by_value, reason = "a token is handed over like a sender, as a clone")]
pub fn consume(settings: &Settings, lane: Lane, prefetch: u16, stop: CancellationToken) -> Leases {
    // Ours, so that leases which nobody wants any more stop too, and nothing else with them.
    let stop = stop.child_token();
    let (leases, incoming) = mpsc::channel(usize::from(prefetch.max(1)));
    let (tell, link) = watch::channel(Link::Connecting { why: "not connected yet".into() });
    let lost_leases = Arc::new(AtomicU64::new(0));
    let supervisor = Supervisor {
        settings: settings.clone(),
        topology: Topology::new(settings),
        lane,
        prefetch: prefetch.max(1),
        stop: stop.clone(),
        leases,
        link: tell,
        lost_leases: lost_leases.clone(),
        publisher: Publisher::new(settings),
    };
    let done = TaskTracker::new();
    done.spawn(supervisor.run());
    done.close();
    Leases { incoming, link, lost: lost_leases, stop, done }
}

impl Leases {
    /// The next job; `None` once stopped.
    pub async fn recv(&mut self) -> Option<Lease> {
        loop {
            let lease = tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                lease = self.incoming.recv() => lease,
            };
            match lease {
                Some(lease) if lease.lost().is_cancelled() => lease.forget(),
                Some(lease) => return Some(lease),
                None => {
                    self.incoming.close();
                    while let Ok(lease) = self.incoming.try_recv() {
                        lease.hand_back().await;
                    }
                    return None;
                }
            }
        }
    }

    /// Follows the state of the connection.
    pub fn health(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Leases that turned out lost when they were settled, since the start.
    pub fn lost_leases(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits, after the stop, until all leases are settled and the connection is closed.
    pub async fn closed(&self) {
        self.done.wait().await;
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Supervisor {
    settings: Settings,
    topology: Topology,
    lane: Lane,
    prefetch: u16,
    stop: CancellationToken,
    leases: mpsc::Sender<Lease>,
    link: watch::Sender<Link>,
    lost_leases: Arc<AtomicU64>,
    publisher: Publisher,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = Backoff::new(Duration::from_secs(self.settings.reconnect_max_s));
        while !self.stop.is_cancelled() {
            let failure = match self.session(&mut backoff).await {
                Ok(()) => break,
                Err(failure) => failure,
            };
            let pause = backoff.pause();
            tracing::warn!(lane = self.lane.label(), %failure, ?pause, "no jobs from RabbitMQ; connecting again after a pause");
            self.link.send_replace(Link::Connecting { why: failure.message });
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.link.send_replace(Link::Connecting { why: "stopped".into() });
        self.publisher.close().await;
    }

    /// One connection's life; `Ok` once stopped and every lease is settled.
    async fn session(&self, backoff: &mut Backoff) -> Result<(), Failure> {
        let opening = async {
            let connection = link::open(&self.settings, &format!("emofleet worker {}", self.lane.label())).await?;
            let (channel, consumer) = self.subscribe(&connection).await?;
            Ok((connection, channel, consumer))
        };
        let (connection, channel, mut consumer) = tokio::select! {
            opened = opening => opened?,
            () = self.stop.cancelled() => return Ok(()),
        };
        backoff.reset();
        tracing::info!(lane = self.lane.label(), "taking jobs from RabbitMQ");
        self.link.send_replace(Link::Up);

        let session = Arc::new(Session {
            lost: CancellationToken::new(),
            lost_leases: self.lost_leases.clone(),
            publisher: self.publisher.clone(),
        });
        // However this ends, leases not settled by then are lost.
        let _lost = session.lost.clone().drop_guard();
        let held = TaskTracker::new();
        let mut broken = Box::pin(broken(&connection));
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                failure = &mut broken => return Err(failure),
                delivery = consumer.next() => delivery,
            };
            let delivery = match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(e)) => return Err(link::failure("consuming", &e)),
                None => return Err(link::unreachable("RabbitMQ cancelled the consumer: was the queue deleted?")),
            };
            let lease = Lease::new(delivery, self.lane, session.clone(), held.token());
            tokio::select! {
                biased;
                failure = &mut broken => return Err(failure),
                // Fails when the receiver is gone or closed: the lease then hands itself back.
                _ = self.leases.send(lease) => {}
            }
        }

        self.drain(&channel, consumer).await;
        held.close();
        tokio::select! {
            failure = &mut broken => tracing::warn!(%failure, "the connection broke while jobs were being finished"),
            () = held.wait() => {
                let _ = connection.close(200, "drained".into()).await;
            }
        }
        Ok(())
    }

    async fn subscribe(&self, connection: &Connection) -> Result<(Channel, Consumer), Failure> {
        let channel = connection.create_channel().await.map_err(|e| link::failure("opening a channel", &e))?;
        self.topology.declare(&channel).await?;
        channel
            .basic_qos(self.prefetch, BasicQosOptions::default())
            .await
            .map_err(|e| link::failure("setting the prefetch", &e))?;
        let queue = self.topology.jobs(self.lane);
        let consumer = channel
            .basic_consume(short(&queue), "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .map_err(|e| link::failure(&format!("consuming {queue}"), &e))?;
        Ok((channel, consumer))
    }

    /// Takes no more jobs, and gives back those that nobody has begun.
    async fn drain(&self, channel: &Channel, mut consumer: Consumer) {
        if let Err(e) = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await {
            tracing::warn!(error = %e, "could not cancel the consumer; the broker takes its jobs back");
            return;
        }
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        while let Some(Ok(delivery)) = consumer.next().await {
            let _ = delivery.acker.nack(requeue).await;
        }
    }
}

/// Ends when the connection does.
fn broken(connection: &Connection) -> impl Future<Output = Failure> + Send + 'static {
    let mut events = connection.events_listener();
    async move {
        while let Some(event) = events.next().await {
            if let Event::Error(e) = event {
                return link::failure("the connection to RabbitMQ broke", &e);
            }
        }
        link::unreachable("the connection to RabbitMQ ended")
    }
}
