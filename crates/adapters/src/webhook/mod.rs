//! Webhooks: alerts in the format of each chat service, signed, sent, and the response classified.
//!
//! What differs between services is in `service/`, one file for each.

mod address;
mod client;
mod markdown;
mod response;
mod service;
mod signing;
mod text;

pub use service::{ChatService, SERVICES, SecretUse, find};

use crate::boxed;
use chrono::Utc;
use domain::alert::{AlertMessage, DeliveryOutcome, Destination};
use secrecy::SecretString;
use serde_json::Value;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

use client::Client;
use signing::Signature;
use text::AlertText;

/// Most alerts in one request. Some services take fewer, by their limit on bytes.
pub const MAX_ALERTS: usize = 40;

/// The body of one request, not signed yet.
#[derive(Debug, Clone)]
pub struct Body {
    /// The JSON.
    pub json: Value,
    /// Number of alerts in it, from the first on.
    pub alerts: usize,
}

/// A destination with its URL and its secret.
#[derive(Debug)]
pub struct Webhook {
    destination: Destination,
    service: &'static dyn ChatService,
    url: Url,
    secret: Option<SecretString>,
    client: Client,
    text: AlertText,
}

impl Webhook {
    /// The webhook of a destination. `variable` reads the environment, `console_url` is the base of
    /// links (empty: no links), `timeout` is for a request as a whole.
    ///
    /// # Errors
    /// A sentence that names the destination and the variable, never its value.
    pub fn open(
        destination: &Destination,
        variable: impl Fn(&str) -> Option<String>,
        console_url: &str,
        timeout: Duration,
    ) -> Result<Self, String> {
        let in_destination = |error: String| format!("destination `{}`: {error}", destination.name);
        let service = find(&destination.service)
            .ok_or_else(|| in_destination(format!("`{}` is no chat service", destination.service)))?;
        let url = address::url(&destination.url_env, &variable).map_err(in_destination)?;
        let secret = destination.secret_env.as_ref().map(|name| address::secret(name, &variable)).transpose();
        let secret = secret.map_err(in_destination)?;
        if let Some(secret) = &secret {
            service
                .check_secret(secret)
                .map_err(|error| in_destination(format!("the secret in the environment {error}")))?;
        }
        let client = Client::new(timeout).map_err(in_destination)?;
        let text = AlertText::new(console_url, destination.language);
        Ok(Self { destination: destination.clone(), service, url, secret, client, text })
    }

    /// The destination.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The body for as many of these alerts as fit into one request, from the first on; at least one.
    /// `alerts` must not be empty.
    pub fn body(&self, alerts: &[&AlertMessage]) -> Body {
        service::body(self.service, &self.text, alerts)
    }

    /// Sends a request. `id` is the same when the same alerts are sent again.
    /// Never fails: every error is a [`DeliveryOutcome`].
    #[boxed]
    pub async fn send(&self, body: &Body, id: Uuid) -> DeliveryOutcome {
        let signature = self.secret.as_ref().map(|secret| Signature { secret, id, now: Utc::now() });
        let request = match signing::sign(self.service, &self.url, body.json.clone(), signature.as_ref()) {
            Ok(request) => request,
            Err(error) => return DeliveryOutcome::failed(error),
        };
        match self.client.post(&request).await {
            Ok(response) => response::outcome(self.service, &response),
            Err(error) => DeliveryOutcome::failed(error),
        }
    }
}
