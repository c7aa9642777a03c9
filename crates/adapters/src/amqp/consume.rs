//! Leases on jobs from a supervised connection: connect, declare, limit the prefetch, consume.
//! On any error all leases are cancelled, and after a pause a new connection is opened.
//!
//! The client's own recovery is not used: leases must learn that they are lost.

use domain::{Failure, JobQueue};
use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer, Event};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::lease::{Lease, Session};
use super::lease_time::LeaseTime;
use super::leases::Leases;
use super::link;
use super::publisher::Publisher;
use super::topology::{Topology, short};
use crate::retry::Backoff;

/// Whether jobs can come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not yet, or not any more.
    Connecting {
        /// Why not.
        why: String,
    },
    /// Consuming.
    Up,
    /// Connected, but paused by the program: no jobs are taken.
    Paused,
}

/// Starts to consume the jobs of a lane for a model, with at most `prefetch` unacknowledged.
///
/// When `stop` is cancelled, or the leases are dropped, no new ones come; the connection stays open until all leases are
/// settled.
/// Must be called within a Tokio runtime.
pub fn consume(settings: &Settings, queue: &JobQueue, prefetch: u16, stop: CancellationToken) -> Leases {
    consume_while(settings, queue, prefetch, stop, watch::Sender::new(true).subscribe())
}

/// The same, but jobs are taken only while `gate` is true: when it closes, the consumer is cancelled and what was not
/// begun goes back to the queue. A gate whose sender is gone stays as it is.
#[expect(clippy::needless_pass_by_value, reason = "a token is handed over like a sender, as a clone")]
pub fn consume_while(
    settings: &Settings,
    queue: &JobQueue,
    prefetch: u16,
    stop: CancellationToken,
    gate: watch::Receiver<bool>,
) -> Leases {
    // A child, so that dropped leases stop this consumer and nothing else.
    let stop = stop.child_token();
    let (leases, incoming) = mpsc::channel(usize::from(prefetch.max(1)));
    let (link_sender, link) = watch::channel(Link::Connecting { why: "not connected yet".into() });
    let supervisor = Supervisor {
        settings: settings.clone(),
        topology: Topology::new(settings),
        queue: queue.clone(),
        prefetch: prefetch.max(1),
        stop: stop.clone(),
        leases,
        link: link_sender,
        gate: gate.clone(),
        publisher: Publisher::new(settings),
    };
    let done = TaskTracker::new();
    done.spawn(supervisor.run());
    done.close();
    Leases::new(incoming, link, stop, gate, done)
}

struct Supervisor {
    settings: Settings,
    topology: Topology,
    queue: JobQueue,
    prefetch: u16,
    stop: CancellationToken,
    gate: watch::Receiver<bool>,
    leases: mpsc::Sender<Lease>,
    link: watch::Sender<Link>,
    publisher: Publisher,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = Backoff::new(Duration::from_secs(self.settings.reconnect_max_s));
        let mut time = LeaseTime::new(self.settings.consumer_timeout());
        while !self.stop.is_cancelled() {
            let failure = match self.session(&mut backoff, time).await {
                Ok(()) => break,
                Err(failure) => failure,
            };
            let pause = backoff.pause();
            let (lane, advice) = (self.queue.lane.label(), failure.code.advice());
            if time.learn(&failure.message) {
                let job_time = time.working();
                tracing::error!(
                    lane,
                    ?job_time,
                    "RabbitMQ's consumer_timeout is shorter than `amqp.consumer_timeout_s`, and leases were lost; jobs get \
                     less time from now on: make the two equal, and longer than the longest job"
                );
            }
            tracing::warn!(lane, %failure, advice, ?pause, "not consuming; connecting again after a pause");
            self.link.send_replace(Link::Connecting { why: failure.message });
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.link.send_replace(Link::Connecting { why: "stopped".into() });
        self.publisher.close().await;
    }

    /// One connection from open to close; `Ok` once stopped and every lease is settled.
    async fn session(&self, backoff: &mut Backoff, time: LeaseTime) -> Result<(), Failure> {
        let opening = async {
            let connection =
                link::open(&self.settings, &format!("emofleet worker {}", self.queue.lane.label())).await?;
            let (channel, consumer) = self.subscribe(&connection).await?;
            Ok((connection, channel, consumer))
        };
        let (connection, channel, mut consumer) = tokio::select! {
            opened = opening => opened?,
            () = self.stop.cancelled() => return Ok(()),
        };
        backoff.reset();
        tracing::info!(lane = self.queue.lane.label(), "consuming");
        self.link.send_replace(Link::Up);

        let (lost, publisher) = (CancellationToken::new(), self.publisher.clone());
        let session = Arc::new(Session { lost, publisher, queue: self.topology.jobs(&self.queue), time });
        // Leases that are not settled when this returns are lost.
        let _lost = session.lost.clone().drop_guard();
        let held = TaskTracker::new();
        let mut broken = Box::pin(broken(&connection));
        let mut gate = self.gate.clone();
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.drain(&channel, consumer).await;
                    break;
                }
                failure = &mut broken => return Err(failure),
                () = turned(&mut gate, false) => {
                    self.drain(&channel, consumer).await;
                    self.link.send_replace(Link::Paused);
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        failure = &mut broken => return Err(failure),
                        () = turned(&mut gate, true) => {}
                    }
                    consumer = self.start(&channel).await?;
                    self.link.send_replace(Link::Up);
                    continue;
                }
                delivery = consumer.next() => delivery,
            };
            let delivery = match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(e)) => return Err(link::failure("consuming", &e)),
                None => {
                    return Err(link::unreachable(
                        "RabbitMQ cancelled the consumer: was the queue deleted, or a job held for too long?",
                    ));
                }
            };
            let lease = Lease::new(delivery, self.queue.lane, session.clone(), held.token());
            tokio::select! {
                biased;
                failure = &mut broken => return Err(failure),
                // Fails when the receiver is gone or closed: the lease then hands itself back.
                _ = self.leases.send(lease) => {}
            }
        }

        held.close();
        tokio::select! {
            failure = &mut broken => tracing::warn!(%failure, "the connection broke while jobs in flight were finished"),
            () = held.wait() => link::close(&connection, "drained").await,
        }
        Ok(())
    }

    async fn subscribe(&self, connection: &Connection) -> Result<(Channel, Consumer), Failure> {
        let channel = connection.create_channel().await.map_err(|e| link::failure("opening a channel", &e))?;
        self.topology.declare(&channel).await?;
        self.topology.declare_jobs(&channel, &self.topology.jobs(&self.queue)).await?;
        channel
            .basic_qos(self.prefetch, BasicQosOptions::default())
            .await
            .map_err(|e| link::failure("setting the prefetch", &e))?;
        let consumer = self.start(&channel).await?;
        Ok((channel, consumer))
    }

    async fn start(&self, channel: &Channel) -> Result<Consumer, Failure> {
        let queue = self.topology.jobs(&self.queue);
        // RabbitMQ takes it from 4.3 on, whatever its own consumer_timeout is; earlier ones ignore it.
        let timeout = i64::try_from(self.settings.consumer_timeout().as_millis()).unwrap_or(i64::MAX);
        let mut arguments = FieldTable::default();
        arguments.insert("x-consumer-timeout".into(), AMQPValue::LongLongInt(timeout));
        channel
            .basic_consume(short(&queue), "".into(), BasicConsumeOptions::default(), arguments)
            .await
            .map_err(|e| link::failure(&format!("consuming {queue}"), &e))
    }

    /// Stops consuming, and returns jobs that were delivered but not begun.
    async fn drain(&self, channel: &Channel, mut consumer: Consumer) {
        if let Err(e) = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await {
            tracing::warn!(error = %e, "the consumer can't be cancelled; the broker requeues its jobs");
            return;
        }
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        while let Some(Ok(delivery)) = consumer.next().await {
            let _ = delivery.acker.nack(requeue).await;
        }
    }
}

/// Ends when the gate has this value; never when its sender is gone with another.
async fn turned(gate: &mut watch::Receiver<bool>, value: bool) {
    if gate.wait_for(|open| *open == value).await.is_err() {
        std::future::pending::<()>().await;
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
