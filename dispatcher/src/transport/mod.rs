//! How messages reach a destination: through the broker's exchange, or by a webhook.

mod exchange;
mod webhook;

use adapters::postgres::OutboxMessage;
use domain::alert::{DeliveryOutcome, RateLimit};
use std::time::Duration;
use uuid::Uuid;

pub(super) use exchange::ExchangeTransport;
pub(super) use webhook::WebhookTransport;

/// What a transport allows, and how long failures are retried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most requests; `None`: no limit.
    pub(super) rate_limit: Option<RateLimit>,
    /// Most messages in one batch.
    pub(super) max_messages: u32,
    /// Longest time that sending a batch takes.
    pub(super) timeout: Duration,
    /// Longest pause after a failure.
    pub(super) max_pause: Duration,
    /// Failed attempts after which a message is given up.
    pub(super) max_attempts: u32,
}

/// Sends messages to one destination.
pub(super) trait Transport: Send + Sync + 'static {
    /// Messages that are sent together.
    type Batch: Send + Sync;

    /// Name of the destination.
    fn destination(&self) -> &str;

    /// What it allows.
    fn limits(&self) -> Limits;

    /// A batch with as many of the messages as it can take, from the first on, and how many those are.
    fn batch(&self, messages: &[OutboxMessage]) -> (Self::Batch, usize);

    /// Sends a batch. Returns the outcome, and of how many messages, from the first on; the others
    /// were not tried. `id` is the same when the same messages are sent again.
    fn send(&self, batch: &Self::Batch, id: Uuid) -> impl Future<Output = (DeliveryOutcome, usize)> + Send;
}
