//! Queues and exchanges, declared (and so asserted) in this one place.
//!
//! ```text
//!   <prefix>.jobs.bulk          quorum; consumed by workers
//!   <prefix>.jobs.interactive   quorum; consumed by workers, ahead of bulk
//!   <prefix>.jobs.retry.<N>s    quorum, TTL N seconds, then back to the queue it came from
//!   <prefix>.jobs.dead          quorum; read by `producer dlq`
//!   <prefix>.alerts             topic exchange
//! ```

use domain::Failure;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};

use super::Settings;
use super::link;

/// Deliveries after which the broker itself dead-letters a job. Attempts are counted per job in
/// the database; this is the second line of defence. RabbitMQ 4's own default (20) is too low for
/// jobs that only waited in the prefetch of workers that crashed.
const DELIVERY_LIMIT: i32 = 100;
/// Reading a dead letter and returning it counts as a delivery to the broker.
const DEAD_DELIVERY_LIMIT: i32 = 1_000_000;

/// Longest name of a queue or exchange, bytes, by AMQP's own rule.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// How urgent a job is. Each lane has its own queue and consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// A batch.
    Bulk,
    /// A person waits for the result.
    Interactive,
}

impl Lane {
    /// Lower-case name, as in queue names and headers.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Interactive => "interactive",
        }
    }

    /// The lane of this name.
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Bulk, Self::Interactive].into_iter().find(|l| l.label() == label)
    }
}

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

    /// Queue of a lane.
    pub fn jobs(&self, lane: Lane) -> String {
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
        let names = [
            self.jobs(Lane::Bulk),
            self.jobs(Lane::Interactive),
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

    /// Declares everything; says how deep the queues are.
    ///
    /// # Errors
    /// `broker.unreachable`; `broker.refused`, also when a queue exists with other properties.
    pub async fn declare(&self, channel: &Channel) -> Result<Vec<Depth>, Failure> {
        let (alerts, dead) = (self.alerts_exchange(), self.dead());
        exchange(channel, &alerts, ExchangeKind::Topic).await?;
        let mut depths = Vec::new();
        let job_queue = [
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&dead)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
            ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
        ];
        depths.push(queue(channel, &dead, [("x-delivery-limit", AMQPValue::LongInt(DEAD_DELIVERY_LIMIT))]).await?);
        for lane in [Lane::Bulk, Lane::Interactive] {
            depths.push(queue(channel, &self.jobs(lane), job_queue.clone()).await?);
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
}

/// How deep each queue is: dead letters, lanes, then the retry queues by delay.
///
/// # Errors
/// `broker.unreachable`, `broker.refused`, `config.invalid`.
pub async fn depths(settings: &Settings) -> Result<Vec<Depth>, Failure> {
    let connection = link::open(settings, "emofleet depths").await?;
    let channel = connection.create_channel().await.map_err(|e| link::failure("opening a channel", &e))?;
    let depths = Topology::new(settings).declare(&channel).await?;
    // The answer is there; a connection that fails to close costs nothing.
    let _ = connection.close(200, "done".into()).await;
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
