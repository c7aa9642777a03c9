//! Messages on the queue of a lane that names no model: of another program, of an operator, or from before the models had
//! queues of their own. Each is put on the queue of its model.

use domain::{Failure, Job, Lane};
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Consumer};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::link;
use super::message::Message;
use super::publisher::Publisher;
use super::topology::{Topology, short};
use crate::boxed;
use crate::retry::Backoff;

/// Messages moved at once.
const WINDOW: u16 = 100;

/// Moves messages of both lanes to the queues of their models, until `stop`. What is no job goes to the worker's own
/// `model`, which refuses it with the reason. Never fails: it connects again after an error.
#[boxed]
pub async fn sort(settings: &Settings, model: &str, stop: CancellationToken) {
    let sorter = Sorter { settings, model, topology: Topology::new(settings), publisher: Publisher::new(settings) };
    let mut backoff = Backoff::new(Duration::from_secs(settings.reconnect_max_s));
    while let Err(failure) = sorter.session(&mut backoff, &stop).await {
        let pause = backoff.pause();
        // The consumers of the worker's own queues warn when the broker is unreachable.
        if failure.is_unreachable() {
            tracing::debug!(%failure, ?pause, "not sorting by model; connecting again after a pause");
        } else {
            tracing::warn!(%failure, advice = failure.code.advice(), ?pause, "not sorting by model; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    sorter.publisher.close().await;
}

struct Sorter<'a> {
    settings: &'a Settings,
    model: &'a str,
    topology: Topology,
    publisher: Publisher,
}

impl Sorter<'_> {
    /// One connection from open to close; `Ok` once stopped. The broker requeues what was not moved yet.
    async fn session(&self, backoff: &mut Backoff, stop: &CancellationToken) -> Result<(), Failure> {
        let connection = tokio::select! {
            opened = link::open(self.settings, "emofleet worker intake") => opened?,
            () = stop.cancelled() => return Ok(()),
        };
        backoff.reset();
        let (bulk, interactive) = (self.lane(&connection, Lane::Bulk), self.lane(&connection, Lane::Interactive));
        let outcome = tokio::select! {
            failed = bulk => failed,
            failed = interactive => failed,
            () = stop.cancelled() => Ok(()),
        };
        link::close(&connection, "done").await;
        outcome
    }

    /// Moves what comes on one lane, until it fails.
    async fn lane(&self, connection: &Connection, lane: Lane) -> Result<(), Failure> {
        let mut consumer = self.consumer(connection, lane).await?;
        loop {
            self.window(&mut consumer, lane).await?;
        }
    }

    async fn consumer(&self, connection: &Connection, lane: Lane) -> Result<Consumer, Failure> {
        let channel = connection.create_channel().await.map_err(|e| link::failure("opening a channel", &e))?;
        let queue = self.topology.intake(lane);
        self.topology.declare_jobs(&channel, &queue).await?;
        channel
            .basic_qos(WINDOW, BasicQosOptions::default())
            .await
            .map_err(|e| link::failure("setting the prefetch", &e))?;
        channel
            .basic_consume(short(&queue), "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .map_err(|e| link::failure(&format!("consuming {queue}"), &e))
    }

    /// Waits for a message, and moves it with those that are there already.
    async fn window(&self, consumer: &mut Consumer, lane: Lane) -> Result<(), Failure> {
        let mut deliveries = vec![delivered(consumer.next().await)?];
        while deliveries.len() < usize::from(WINDOW)
            && let Some(next) = consumer.next().now_or_never()
        {
            deliveries.push(delivered(next)?);
        }
        let messages = deliveries.iter_mut().map(|delivery| self.moved(delivery, lane)).collect();
        let results = self.publisher.publish(messages).await;
        for (delivery, result) in deliveries.iter().zip(&results) {
            let settled = if result.is_ok() {
                delivery.acker.ack(BasicAckOptions::default()).await
            } else {
                let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                delivery.acker.nack(requeue).await
            };
            settled.map_err(|e| link::failure("settling a message", &e))?;
        }
        results.into_iter().collect()
    }

    fn moved(&self, delivery: &mut Delivery, lane: Lane) -> Message {
        let job = Job::received(&delivery.data);
        let model = job.as_ref().map_or(self.model, |job| &job.options.model);
        tracing::info!(model, lane = lane.label(), "a message on the queue of a lane is put on the queue of its model");
        let queue = self.topology.jobs(&lane.of(model));
        Message::moved(std::mem::take(&mut delivery.data), &delivery.properties, queue)
    }
}

fn delivered(next: Option<Result<Delivery, lapin::Error>>) -> Result<Delivery, Failure> {
    match next {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(e)) => Err(link::failure("consuming", &e)),
        None => Err(link::unreachable("RabbitMQ cancelled the consumer: was the queue deleted?")),
    }
}
