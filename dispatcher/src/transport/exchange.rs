//! The alerts exchange of RabbitMQ.

use adapters::amqp::Publisher;
use adapters::postgres::OutboxMessage;
use domain::alert::{AMQP, DeliveryOutcome};
use std::time::{Duration, Instant};
use uuid::Uuid;

use super::{Limits, Transport};

/// Publishes each message with the routing key `severity.rule`.
pub(crate) struct ExchangeTransport(pub(crate) Publisher);

/// A message, ready to be published.
pub(crate) struct Publishing {
    routing_key: String,
    body: Vec<u8>,
}

/// Longest time for one batch.
const TIMEOUT: Duration = Duration::from_mins(1);

impl Transport for ExchangeTransport {
    type Batch = Vec<Publishing>;

    fn destination(&self) -> &str {
        AMQP
    }

    /// Messages are never given up: they wait for the broker as long as it takes.
    fn limits(&self) -> Limits {
        Limits {
            rate_limit: None,
            max_messages: 100,
            timeout: TIMEOUT,
            max_pause: Duration::from_secs(30),
            max_attempts: u32::MAX,
        }
    }

    fn batch(&self, messages: &[OutboxMessage]) -> (Self::Batch, usize) {
        let publishing = |OutboxMessage { alert, .. }: &OutboxMessage| Publishing {
            routing_key: format!("{}.{}", alert.severity.label(), alert.rule),
            body: serde_json::to_vec(alert).expect("an alert has only string keys and finite numbers"),
        };
        (messages.iter().map(publishing).collect(), messages.len())
    }

    /// Publishes one after the other, up to the first failure.
    async fn send(&self, batch: &Self::Batch, _id: Uuid) -> (DeliveryOutcome, usize) {
        let started = Instant::now();
        for (confirmed, Publishing { routing_key, body }) in batch.iter().enumerate() {
            let left = TIMEOUT.saturating_sub(started.elapsed());
            let error = match tokio::time::timeout(left, self.0.publish_alert(routing_key, body)).await {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure.to_string(),
                Err(_) => "RabbitMQ did not confirm in time".to_owned(),
            };
            if confirmed == 0 {
                return (DeliveryOutcome::failed(error), batch.len());
            }
            return (DeliveryOutcome::Delivered, confirmed);
        }
        (DeliveryOutcome::Delivered, batch.len())
    }
}
