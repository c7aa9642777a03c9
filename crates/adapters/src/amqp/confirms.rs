//! A connection that publishes with confirms: windows of messages, each confirmed by the broker before the
//! window is done. Publishing pauses while the broker is short of memory or disk.

use domain::Failure;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, Event};
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Settings;
use super::link::{self, unreachable};
use super::message::Message;
use super::topology::{Topology, short};

/// How the broker answered one message of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublishOutcome {
    /// Stored by the broker.
    Confirmed,
    /// Returned as unroutable: the topology is gone.
    Returned,
    /// A negative confirm, which carries no reason.
    Refused,
}

/// An open connection with a confirming channel.
#[derive(Debug)]
pub(super) struct ConfirmChannel {
    connection: Connection,
    channel: Channel,
    blocked: watch::Receiver<bool>,
    watcher: JoinHandle<()>,
    confirm_timeout: Duration,
    topology: Topology,
    /// Queues of jobs that were declared on this channel.
    declared: Mutex<HashSet<String>>,
}

impl ConfirmChannel {
    /// Connects, asserts the topology, asks for confirms.
    pub(super) async fn open(settings: &Settings, topology: &Topology) -> Result<Self, Failure> {
        let connection = link::open(settings, "emofleet publisher").await?;
        let (blocked_sender, blocked) = watch::channel(false);
        // The client hands each event to one listener only, so there is just this one.
        let mut events = connection.events_listener();
        let watcher = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::ConnectionBlocked(reason) => {
                        tracing::warn!(reason, "RabbitMQ blocks publishers: short of memory or disk");
                        blocked_sender.send_replace(true);
                    }
                    Event::ConnectionUnblocked => {
                        tracing::info!("RabbitMQ unblocked publishers");
                        blocked_sender.send_replace(false);
                    }
                    _ => {}
                }
            }
        });
        let channel = connection.create_channel().await.map_err(|e| link::failure("opening a channel", &e))?;
        topology.declare(&channel).await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(|e| link::failure("asking for publisher confirms", &e))?;
        let confirm_timeout = Duration::from_secs(settings.confirm_timeout_s);
        let (topology, declared) = (topology.clone(), Mutex::default());
        Ok(Self { connection, channel, blocked, watcher, confirm_timeout, topology, declared })
    }

    pub(super) fn usable(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// Follows whether the broker blocks this connection; closed with it.
    pub(super) fn blocked(&self) -> watch::Receiver<bool> {
        self.blocked.clone()
    }

    /// Publishes all, pipelined, and waits for all confirms. A queue of jobs is declared before the first message for it.
    ///
    /// The outcomes are known only together: the broker may confirm many messages at once, and
    /// the client then attaches a returned message to any of them. So returned messages are
    /// recognised by their ids, after the last confirm. Nothing else may use the channel meanwhile.
    ///
    /// # Errors
    /// The connection failed or did not confirm in time: any of the messages may have arrived.
    pub(super) async fn publish(&self, messages: &[Message]) -> Result<Vec<PublishOutcome>, Failure> {
        self.declare_queues(messages).await?;
        // All are sent before any is waited for: waiting for each write would cost a context switch per message.
        let all: Vec<_> = messages.iter().map(|message| self.publish_one(message)).collect();
        let confirmations: Result<Vec<Confirmation>, _> = self.in_time(join_all(all)).await?.into_iter().collect();
        let confirmations = confirmations.map_err(|e| link::failure("publishing", &e))?;

        let mut refused = Vec::with_capacity(confirmations.len());
        let mut returned = HashSet::new();
        for confirmation in confirmations {
            refused.push(confirmation.is_nack());
            if let Some(message) = confirmation.take_message() {
                returned.insert(message.properties.message_id().as_ref().map(ToString::to_string));
            }
        }
        let outcome = |(message, refused): (&Message, bool)| match refused {
            _ if returned.contains(&message.id().map(str::to_owned)) => PublishOutcome::Returned,
            true => PublishOutcome::Refused,
            false => PublishOutcome::Confirmed,
        };
        Ok(messages.iter().zip(refused).map(outcome).collect())
    }

    async fn declare_queues(&self, messages: &[Message]) -> Result<(), Failure> {
        for message in messages.iter().filter(|message| message.job_queue) {
            let queue = &message.routing_key;
            if !self.declared().contains(queue) {
                self.topology.declare_jobs(&self.channel, queue).await?;
                self.declared().insert(queue.clone());
            }
        }
        Ok(())
    }

    fn declared(&self) -> MutexGuard<'_, HashSet<String>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish_one(&self, message: &Message) -> Result<Confirmation, lapin::Error> {
        let options = BasicPublishOptions { mandatory: message.mandatory, ..BasicPublishOptions::default() };
        let (exchange, routing_key) = (short(&message.exchange), short(&message.routing_key));
        let properties = message.properties.clone();
        self.channel.basic_publish(exchange, routing_key, options, &message.body, properties).await?.await
    }

    /// Waits for `work`, at most the confirm timeout, not counting the time that the broker
    /// keeps the connection blocked.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut blocked = self.blocked.clone();
        let mut work = std::pin::pin!(work.fuse());
        loop {
            // Disconnected watch: the connection is gone, and `work` itself will fail.
            let unblocked = async {
                if blocked.wait_for(|b| !*b).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                done = &mut work => return Ok(done),
                () = unblocked => {}
            }
            let until_blocked = async {
                if blocked.wait_for(|b| *b).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                done = &mut work => return Ok(done),
                () = until_blocked => {}
                () = tokio::time::sleep(self.confirm_timeout) => {
                    return Err(unreachable(format!(
                        "RabbitMQ did not confirm a message within {} s (amqp.confirm_timeout_s)",
                        self.confirm_timeout.as_secs()
                    )));
                }
            }
        }
    }

    /// Closes the connection.
    pub(super) async fn close(&self) {
        // Everything is confirmed; a connection that fails to close costs nothing.
        link::close(&self.connection, "done").await;
    }
}

impl Drop for ConfirmChannel {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}
