//! Queues and exchanges, declared (and so asserted) in this one place.
//!
//! ```text
//!   <prefix>.jobs.bulk.<model>          quorum; consumed by the workers with this model
//!   <prefix>.jobs.interactive.<model>   quorum; the same, ahead of bulk
//!   <prefix>.jobs.bulk                  quorum; what names no model's queue: any worker sorts it by model
//!   <prefix>.jobs.interactive           quorum; the same
//!   <prefix>.jobs.retry.<N>s            quorum, TTL N seconds, then back to the queue it came from
//!   <prefix>.jobs.dead                  quorum; read by `producer dlq`
//!   <prefix>.alerts                     topic exchange
//! ```
//!
//! The queues of a model are declared when it is first published to or consumed, the others by every program.

use domain::{Failure, JobQueue, Lane};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

use super::Settings;
use super::link;
use crate::boxed;

/// Deliveries after which the broker itself dead-letters a job. Attempts are counted per job in
/// the database; this is the second line of defence. RabbitMQ 4's own default (20) is too low for
/// jobs that only waited in the prefetch of workers that crashed.
pub(super) const DELIVERY_LIMIT: i32 = 100;
/// Reading a dead letter and returning it counts as a delivery to the broker.
const DEAD_DELIVERY_LIMIT: i32 = 1_000_000;

/// Longest name of a queue or exchange, bytes, by AMQP's own rule.
pub(super) const MAX_NAME_BYTES: usize = 255;
/// Longest part of a queue's name that stands for a model, bytes: the rest is for `amqp.prefix`.
const MAX_MODEL_BYTES: usize = 64;
/// Hexadecimal digits of a model's hash, where its name can't be part of a queue's name.
const HASH_DIGITS: usize = 16;

/// Names of queues and exchanges.
#[derive(Debug, Clone)]
pub struct Topology {
    prefix: String,
    delays_s: Vec<u32>,
}

/// How many messages wait in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// Name of the queue.
    pub queue: String,
    /// Messages ready; unacknowledged ones are not counted.
    pub messages: u32,
    /// Consumers attached.
    pub consumers: u32,
}

impl Topology {
    /// The topology of these settings.
    pub fn new(settings: &Settings) -> Self {
        Self { prefix: settings.prefix.clone(), delays_s: settings.retry_delays_s.clone() }
    }

    /// A topology with this prefix and no delays.
    #[cfg(test)]
    pub(super) fn for_tests(prefix: &str) -> Self {
        Self { prefix: prefix.into(), delays_s: Vec::new() }
    }

    /// Queue of a model's jobs in a lane.
    pub fn jobs(&self, queue: &JobQueue) -> String {
        format!("{}.{}", self.intake(queue.lane), model_part(&queue.model))
    }

    /// Queue of a lane for messages whose sender names no queue of a model; see [`super::sort`].
    pub fn intake(&self, lane: Lane) -> String {
        format!("{}.jobs.{}", self.prefix, lane.label())
    }

    /// Exchange, and the queue behind it, in which a job waits `delay_s` seconds.
    pub fn retry(&self, delay_s: u32) -> String {
        format!("{}.jobs.retry.{delay_s}s", self.prefix)
    }

    /// Queue of the dead letters.
    pub fn dead(&self) -> String {
        format!("{}.jobs.dead", self.prefix)
    }

    /// Whether every name is short enough for AMQP, whose names end at 255 bytes.
    pub(super) fn fits(&self) -> bool {
        let longest_delay = self.delays_s.iter().max().copied().unwrap_or_default();
        let longest_model = "m".repeat(MAX_MODEL_BYTES);
        let names = [
            self.jobs(&Lane::Interactive.of(longest_model)),
            self.retry(longest_delay),
            self.dead(),
            self.alerts_exchange(),
        ];
        names.iter().all(|name| name.len() <= MAX_NAME_BYTES)
    }

    /// Topic exchange of alerts.
    pub fn alerts_exchange(&self) -> String {
        format!("{}.alerts", self.prefix)
    }

    /// The delay before retry number `retries` + 1; `None` past the last one.
    pub fn delay_s(&self, retries: u32) -> Option<u32> {
        self.delays_s.get(usize::try_from(retries).ok()?).copied()
    }

    /// Declares everything but the queues of the models; says how deep the queues are.
    ///
    /// # Errors
    /// `broker.unreachable`; `broker.refused`, also when a queue exists with other properties.
    #[boxed]
    pub async fn declare(&self, channel: &Channel) -> Result<Vec<Depth>, Failure> {
        let (alerts, dead) = (self.alerts_exchange(), self.dead());
        exchange(channel, &alerts, ExchangeKind::Topic).await?;
        let mut depths = Vec::new();
        depths.push(queue(channel, &dead, [("x-delivery-limit", AMQPValue::LongInt(DEAD_DELIVERY_LIMIT))]).await?);
        for lane in Lane::ALL {
            depths.push(self.declare_jobs(channel, &self.intake(lane)).await?);
        }
        for delay_s in &self.delays_s {
            let name = self.retry(*delay_s);
            // A fanout exchange keeps the routing key: it names the job's own queue, to which the default exchange
            // returns the job after the delay.
            let waiting = [
                ("x-message-ttl", AMQPValue::LongLongInt(i64::from(*delay_s) * 1000)),
                ("x-dead-letter-exchange", text("")),
                // The default, at most once, could lose a job while its queue has no leader.
                ("x-dead-letter-strategy", text("at-least-once")),
                ("x-overflow", text("reject-publish")),
            ];
            exchange(channel, &name, ExchangeKind::Fanout).await?;
            depths.push(queue(channel, &name, waiting).await?);
            channel
                .queue_bind(
                    short(&name),
                    short(&name),
                    ShortString::default(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await
                .map_err(|e| link::failure(&format!("binding the queue {name}"), &e))?;
        }
        Ok(depths)
    }

    /// Declares a queue of jobs by its name; says how deep it is.
    ///
    /// # Errors
    /// As [`Topology::declare`].
    pub(super) async fn declare_jobs(&self, channel: &Channel, name: &str) -> Result<Depth, Failure> {
        let arguments = [
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&self.dead())),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
            ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
        ];
        queue(channel, name, arguments).await
    }
}

/// The part of a queue's name that stands for a model: its own name where that is short and plain, otherwise what is
/// readable of it and a hash, so that no two models share a queue.
fn model_part(model: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    if (1..=MAX_MODEL_BYTES).contains(&model.len()) && model.chars().all(plain) {
        return model.to_owned();
    }
    let readable = model.chars().map(|c| if plain(c) { c } else { '_' });
    let readable: String = readable.take(MAX_MODEL_BYTES - HASH_DIGITS - 1).collect();
    let hash = Sha256::digest(model.as_bytes());
    let hash = hash.iter().take(HASH_DIGITS / 2).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    format!("{readable}~{hash:0HASH_DIGITS$x}")
}

/// How deep each queue is: dead letters, the queues of these models, lanes, then the retry queues by delay. Queues that
/// do not exist are declared.
///
/// # Errors
/// `broker.unreachable`, `broker.refused`, `config.invalid`.
pub async fn depths(settings: &Settings, models: &[impl AsRef<str>]) -> Result<Vec<Depth>, Failure> {
    let models: Vec<_> = models.iter().map(AsRef::as_ref).collect();
    depths_of(settings, &models).await
}

#[boxed]
async fn depths_of(settings: &Settings, models: &[&str]) -> Result<Vec<Depth>, Failure> {
    let connection = link::open(settings, "emofleet depths").await?;
    let channel = connection.create_channel().await.map_err(|e| link::failure("opening a channel", &e))?;
    let topology = Topology::new(settings);
    let mut depths = topology.declare(&channel).await?;
    let others = depths.split_off(1);
    for model in models {
        for lane in Lane::ALL {
            depths.push(topology.declare_jobs(&channel, &topology.jobs(&lane.of(*model))).await?);
        }
    }
    depths.extend(others);
    // Retries after the same delay share a queue.
    let mut seen = HashSet::new();
    depths.retain(|depth| seen.insert(depth.queue.clone()));
    // The answer is there; a connection that fails to close costs nothing.
    link::close(&connection, "done").await;
    Ok(depths)
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), Failure> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(short(name), kind, options, FieldTable::default())
        .await
        .map_err(|e| link::failure(&format!("declaring the exchange {name}"), &e))
}

/// A durable queue without a limit on deliveries or length.
pub(super) async fn plain_queue(channel: &Channel, name: &str) -> Result<(), Failure> {
    queue(channel, name, [("x-delivery-limit", AMQPValue::LongInt(DEAD_DELIVERY_LIMIT))]).await.map(drop)
}

async fn queue(
    channel: &Channel,
    name: &str,
    arguments: impl IntoIterator<Item = (&str, AMQPValue)>,
) -> Result<Depth, Failure> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (key, value) in arguments {
        table.insert(key.into(), value);
    }
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let queue = channel
        .queue_declare(short(name), options, table)
        .await
        .map_err(|e| link::failure(&format!("declaring the queue {name}"), &e))?;
    Ok(Depth { queue: name.to_owned(), messages: queue.message_count(), consumers: queue.consumer_count() })
}

/// A name of the topology: short enough, since `link::open` has checked the prefix.
pub(super) fn short(name: &str) -> ShortString {
    ShortString::from(name)
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn plain_names_of_models_are_kept_and_no_two_models_share_a_queue() {
        assert_eq!(model_part("emofleet-default"), "emofleet-default");
        assert_eq!(model_part("emotion2vec+large.v2_int8"), "emotion2vec+large.v2_int8");
        let long = "m".repeat(65);
        let names =
            ["", "a b", "a_b", "a/b", "情绪", "情感", &long, &"m".repeat(64), &"m".repeat(1024), "a\n", "~", "*.#"];
        let parts: HashSet<String> = names.iter().map(|name| model_part(name)).collect();
        assert_eq!(parts.len(), names.len(), "{parts:?}");
        for part in parts {
            assert!(part.len() <= MAX_MODEL_BYTES && part.is_ascii(), "{part}");
        }
        assert!(model_part("a b").starts_with("a_b~"));
    }
}
