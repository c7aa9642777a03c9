//! A webhook of the alert file.

use adapters::postgres::OutboxMessage;
use adapters::webhook::{Body, MAX_ALERTS, Webhook};
use domain::alert::{AlertMessage, DeliveryOutcome};
use std::time::Duration;
use uuid::Uuid;

use super::{Limits, Transport};

/// Posts messages, several in one request when more wait than the rate limit allows.
pub(crate) struct WebhookTransport {
    pub(crate) webhook: Webhook,
    pub(crate) settings: settings::Dispatcher,
}

impl Transport for WebhookTransport {
    type Batch = Body;

    fn destination(&self) -> &str {
        &self.webhook.destination().name
    }

    fn limits(&self) -> Limits {
        Limits {
            rate_limit: Some(self.webhook.destination().rate_limit),
            max_messages: MAX_ALERTS as u32,
            timeout: Duration::from_secs(self.settings.timeout_s),
            max_pause: Duration::from_secs(self.settings.retry_max_s),
            max_attempts: self.settings.max_attempts,
        }
    }

    fn batch(&self, messages: &[OutboxMessage]) -> (Self::Batch, usize) {
        let alerts: Vec<&AlertMessage> = messages.iter().map(|message| &message.alert).collect();
        let body = self.webhook.body(&alerts);
        let count = body.alerts;
        (body, count)
    }

    async fn send(&self, batch: &Self::Batch, id: Uuid) -> (DeliveryOutcome, usize) {
        (self.webhook.send(batch, id).await, batch.alerts)
    }
}
