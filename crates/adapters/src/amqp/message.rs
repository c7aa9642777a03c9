//! Properties and headers of the messages that are published.

use chrono::{DateTime, Utc};
use domain::{Failure, FailureCode, Job, Lane};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use super::topology::Topology;
use super::traceparent::TraceParent;

/// Names of the headers.
pub mod header {
    /// How often the job was retried.
    pub const RETRIES: &str = "x-emofleet-retries";
    /// The failure's stable code.
    pub const CODE: &str = "x-emofleet-code";
    /// The failure's sentence.
    pub const REASON: &str = "x-emofleet-reason";
    /// The worker that dead-lettered it.
    pub const WORKER: &str = "x-emofleet-worker";
    /// When it was dead-lettered, RFC 3339.
    pub const FAILED_AT: &str = "x-emofleet-failed-at";
    /// The job's batch.
    pub const BATCH: &str = "x-emofleet-batch";
    /// The lane it came from.
    pub const LANE: &str = "x-emofleet-lane";
    /// Present on a job that was postponed after a delivery that was not settled.
    pub const REDELIVERED: &str = "x-emofleet-redelivered";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// How often a quorum queue had the message back: set by RabbitMQ.
    pub(in crate::amqp) const DELIVERY_COUNT: &str = "x-delivery-count";
}

/// AMQP `type` of a job of version 1.
const JOB_TYPE: &str = "emofleet.job.v1";
/// AMQP's delivery mode for messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;
/// Longest sentence put into a header, bytes.
const MAX_REASON_BYTES: usize = 2048;

/// A message ready to be published.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    /// Whether the routing key is the name of a queue of jobs, which is declared where it does not exist.
    pub(super) job_queue: bool,
    /// Whether the broker returns it when no queue takes it.
    pub(super) mandatory: bool,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

impl Message {
    /// A new job.
    pub(super) fn job(job: &Job, lane: Lane, topology: &Topology) -> Self {
        let mut headers = FieldTable::default();
        set(&mut headers, header::BATCH, &job.batch_id.to_string());
        set(&mut headers, header::LANE, lane.label());
        set(&mut headers, header::TRACEPARENT, &TraceParent::of_job(job.job_id).to_string());
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_type(JOB_TYPE.into())
            .with_message_id(ShortString::from(job.job_id.to_string()))
            .with_timestamp(u64::try_from(job.submitted_at.timestamp()).unwrap_or_default())
            .with_headers(headers);
        Self {
            exchange: String::new(),
            routing_key: topology.jobs(&lane.of(&job.options.model)),
            job_queue: true,
            mandatory: true,
            body: job.to_json(),
            properties,
        }
    }

    /// A job that waits `delay_s` before it is retried, and then goes back to `queue`.
    pub(super) fn retry(body: &[u8], properties: &BasicProperties, queue: &str, to: (&Topology, u32, u32)) -> Self {
        let (topology, delay_s, retries) = to;
        let mut headers = without(&carried_headers(properties), header::REDELIVERED);
        headers.insert(header::RETRIES.into(), AMQPValue::LongLongInt(i64::from(retries)));
        Self::waiting(body, carried(properties, headers), queue, topology.retry(delay_s))
    }

    /// A job that waits `delay_s` for its turn, without a failure, and then goes back to `queue`. `redelivered`: whether an
    /// earlier delivery was not settled.
    pub(super) fn postponed(
        body: &[u8],
        properties: &BasicProperties,
        queue: &str,
        to: (&Topology, u32),
        redelivered: bool,
    ) -> Self {
        let (topology, delay_s) = to;
        let mut headers = carried_headers(properties);
        if redelivered {
            set(&mut headers, header::REDELIVERED, "true");
        }
        Self::waiting(body, carried(properties, headers), queue, topology.retry(delay_s))
    }

    /// A job in the queue behind `exchange`, from which it goes to `queue` after that queue's delay.
    fn waiting(body: &[u8], properties: BasicProperties, queue: &str, exchange: String) -> Self {
        let (routing_key, body) = (queue.to_owned(), body.to_vec());
        Self { exchange, routing_key, job_queue: true, mandatory: true, body, properties }
    }

    /// A dead letter, with its reason.
    pub(super) fn dead(
        body: &[u8],
        properties: &BasicProperties,
        reason: &DeadLetterReason<'_>,
        topology: &Topology,
    ) -> Self {
        let mut headers = carried_headers(properties);
        set(&mut headers, header::CODE, reason.failure.code.code());
        set(&mut headers, header::REASON, shortened(&reason.failure.message));
        set(&mut headers, header::WORKER, reason.worker);
        set(&mut headers, header::LANE, reason.lane.label());
        set(&mut headers, header::FAILED_AT, &reason.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
        headers.insert(header::RETRIES.into(), AMQPValue::LongLongInt(i64::from(reason.retries)));
        Self {
            exchange: String::new(),
            routing_key: topology.dead(),
            job_queue: false,
            mandatory: true,
            body: body.to_vec(),
            properties: carried(properties, headers),
        }
    }

    /// A message that is moved to the queue of its model as it is.
    pub(super) fn moved(body: Vec<u8>, properties: &BasicProperties, queue: String) -> Self {
        let mut kept = carried(properties, carried_headers(properties));
        if let Some(expiration) = properties.expiration() {
            kept = kept.with_expiration(expiration.clone());
        }
        Self { exchange: String::new(), routing_key: queue, job_queue: true, mandatory: true, body, properties: kept }
    }

    /// A dead letter sent back to a queue of its lane, without the headers of its failure.
    pub(super) fn replayed(body: Vec<u8>, properties: &BasicProperties, lane: Lane, queue: String) -> Self {
        let kept = [header::BATCH, header::TRACEPARENT];
        let mut headers = FieldTable::default();
        for (name, value) in headers_of(properties).inner() {
            if kept.contains(&name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
        set(&mut headers, header::LANE, lane.label());
        let properties = carried(properties, headers);
        Self { exchange: String::new(), routing_key: queue, job_queue: true, mandatory: true, body, properties }
    }

    /// A message to the alerts exchange. No bound queue is no error.
    pub(super) fn alert(routing_key: &str, body: &[u8], topology: &Topology) -> Self {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(ShortString::from(uuid::Uuid::now_v7().to_string()));
        Self {
            exchange: topology.alerts_exchange(),
            routing_key: routing_key.to_owned(),
            job_queue: false,
            mandatory: false,
            body: body.to_vec(),
            properties,
        }
    }

    /// A foreign message that can't be read, for the queue beside its own.
    pub(super) fn set_aside(body: &[u8], properties: &BasicProperties, queue: &str, reason: &str) -> Self {
        let mut headers = carried_headers(properties);
        set(&mut headers, header::REASON, shortened(reason));
        set(&mut headers, header::FAILED_AT, &chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
        Self {
            exchange: String::new(),
            routing_key: queue.to_owned(),
            job_queue: false,
            mandatory: true,
            body: body.to_vec(),
            properties: carried(properties, headers),
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(ShortString::as_str)
    }
}

/// Why a job was dead-lettered.
#[derive(Debug)]
pub(super) struct DeadLetterReason<'a> {
    pub(super) failure: &'a Failure,
    pub(super) worker: &'a str,
    pub(super) lane: Lane,
    pub(super) retries: u32,
    pub(super) at: DateTime<Utc>,
}

/// A text header, whichever of AMQP's two string types carries it.
pub(super) fn text(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Why RabbitMQ itself dead-lettered a message: the latest of its deaths. Waiting for a retry is a death by time as well.
pub(super) fn death(properties: &BasicProperties) -> Failure {
    let latest = latest_death(properties);
    let field = |name: &str| match latest?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    };
    let header = || text(properties, "x-last-death-reason").or_else(|| text(properties, "x-first-death-reason"));
    let reason = field("reason").or_else(header).unwrap_or_else(|| "no reason given".into());
    let code = match reason.as_str() {
        "delivery_limit" => FailureCode::JobDeliveryLimit,
        "expired" => FailureCode::JobExpired,
        "maxlen" => FailureCode::JobQueueFull,
        _ => FailureCode::JobSetAside,
    };
    let queue = field("queue").map(|queue| format!(" from {queue}")).unwrap_or_default();
    Failure::new(code, format!("dead-lettered by RabbitMQ itself{queue} ({reason})"))
}

/// When RabbitMQ itself dead-lettered a message last, to the second.
pub(super) fn died_at(properties: &BasicProperties) -> Option<DateTime<Utc>> {
    match latest_death(properties)?.inner().get("time")? {
        AMQPValue::Timestamp(seconds) => DateTime::from_timestamp(i64::try_from(*seconds).ok()?, 0),
        _ => None,
    }
}

fn latest_death(properties: &BasicProperties) -> Option<&FieldTable> {
    match properties.headers().as_ref()?.inner().get("x-death")? {
        AMQPValue::FieldArray(deaths) => match deaths.as_slice().first()? {
            AMQPValue::FieldTable(death) => Some(death),
            _ => None,
        },
        _ => None,
    }
}

/// A number header, whichever of AMQP's integer types carries it.
pub(super) fn number(properties: &BasicProperties, name: &str) -> Option<u32> {
    let value = match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongLongInt(n) => *n,
        AMQPValue::LongInt(n) => i64::from(*n),
        AMQPValue::LongUInt(n) => i64::from(*n),
        AMQPValue::ShortInt(n) => i64::from(*n),
        AMQPValue::ShortUInt(n) => i64::from(*n),
        AMQPValue::ShortShortInt(n) => i64::from(*n),
        AMQPValue::ShortShortUInt(n) => i64::from(*n),
        _ => return None,
    };
    u32::try_from(value).ok()
}

/// The headers, for a message that is published again: what the broker counted belongs to the old one.
fn headers_of(properties: &BasicProperties) -> FieldTable {
    without(&properties.headers().clone().unwrap_or_default(), header::DELIVERY_COUNT)
}

fn without(headers: &FieldTable, name: &str) -> FieldTable {
    let mut kept = FieldTable::default();
    for (key, value) in headers.inner().iter().filter(|(key, _)| key.as_str() != name) {
        kept.insert(key.clone(), value.clone());
    }
    kept
}

/// Properties of a message for its copy in another queue. Only those are kept that do not act: by an expiry a dead letter
/// would vanish, and for the user id of another sender RabbitMQ closes the channel.
fn carried(properties: &BasicProperties, headers: FieldTable) -> BasicProperties {
    let mut kept = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    if let Some(content_type) = properties.content_type() {
        kept = kept.with_content_type(content_type.clone());
    }
    if let Some(kind) = properties.kind() {
        kept = kept.with_type(kind.clone());
    }
    if let Some(id) = properties.message_id() {
        kept = kept.with_message_id(id.clone());
    }
    if let Some(timestamp) = properties.timestamp() {
        kept = kept.with_timestamp(*timestamp);
    }
    kept
}

/// Headers of a message without those by which RabbitMQ would send copies to other queues.
fn carried_headers(properties: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in headers_of(properties).inner().iter().filter(|(name, _)| !is_routing(name.as_str())) {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

/// Headers by which RabbitMQ sends copies to other queues.
fn is_routing(name: &str) -> bool {
    name.eq_ignore_ascii_case("cc") || name.eq_ignore_ascii_case("bcc")
}

fn set(headers: &mut FieldTable, name: &str, value: &str) {
    headers.insert(ShortString::from(name), AMQPValue::LongString(LongString::from(value)));
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REASON_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = "情".repeat(1000);
        assert_eq!(shortened(&reason).len(), 2046);
        assert_eq!(shortened("short"), "short");
    }

    #[test]
    fn a_copy_has_no_property_that_acts() {
        let mut headers = FieldTable::default();
        set(&mut headers, "CC", "elsewhere");
        set(&mut headers, header::BATCH, "b");
        let sent = BasicProperties::default()
            .with_headers(headers)
            .with_expiration("1".into())
            .with_user_id("another".into())
            .with_reply_to("q".into())
            .with_message_id("id".into())
            .with_timestamp(7);
        for copy in [
            Message::retry(b"", &sent, "q", (&Topology::for_tests("p"), 1, 1)),
            Message::replayed(Vec::new(), &sent, Lane::Bulk, "q".into()),
            Message::moved(Vec::new(), &BasicProperties::default().with_user_id("x".into()), "q".into()),
        ] {
            let properties = copy.properties;
            assert!(properties.user_id().is_none() && properties.expiration().is_none(), "{properties:?}");
            assert!(properties.reply_to().is_none() && text(&properties, "CC").is_none(), "{properties:?}");
        }
        let moved = Message::moved(Vec::new(), &sent, "q".into());
        assert_eq!(text(&moved.properties, header::BATCH).as_deref(), Some("b"));
        assert_eq!((moved.id(), moved.properties.timestamp()), (Some("id"), &Some(7)));
        assert!(moved.properties.expiration().is_some(), "the sender's wish holds until a worker has the job");
    }

    #[test]
    fn numbers_are_read_whatever_their_width() {
        for value in [AMQPValue::LongLongInt(7), AMQPValue::ShortShortUInt(7), AMQPValue::LongInt(7)] {
            let mut headers = FieldTable::default();
            headers.insert("n".into(), value);
            assert_eq!(number(&BasicProperties::default().with_headers(headers), "n"), Some(7));
        }
        assert_eq!(number(&BasicProperties::default(), "n"), None);
    }
}
