//! Webhooks: alerts as the services want them, signed, sent, and the answer understood.

mod address;
mod client;
mod message;
mod signature;
mod verdict;

pub use message::Message;
pub use verdict::Outcome;

use chrono::Utc;
use domain::alert::{Destination, Notice, Service};
use secrecy::SecretString;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

use client::Client;
use message::Phrase;
use signature::Signed;

/// Most alerts in one message. Some services take fewer, by their limit on bytes.
pub const MOST: u32 = 40;

/// A destination whose address and secret were found.
#[derive(Debug)]
pub struct Webhook {
    destination: Destination,
    url: Url,
    secret: Option<SecretString>,
    client: Client,
    phrase: Phrase,
}

impl Webhook {
    /// The webhook of a destination. `variable` looks up the environment, `console_url` is where
    /// links lead (empty: no links), `timeout` bounds a request as a whole.
    ///
    /// # Errors
    /// A sentence that names the destination and the variable, never its value.
    pub fn open(
        destination: &Destination,
        variable: impl Fn(&str) -> Option<String>,
        console_url: &str,
        timeout: Duration,
    ) -> Result<Self, String> {
        let wrong = |what: String| format!("destination `{}`: {what}", destination.name);
        let url = address::url(&destination.url_env, &variable).map_err(wrong)?;
        let secret = destination.secret_env.as_ref().map(|name| address::secret(name, &variable)).transpose();
        let secret = secret.map_err(wrong)?;
        if let (Service::Webhook, Some(secret)) = (destination.service, &secret) {
            signature::standard_key(secret).map_err(|e| wrong(format!("the secret in the environment {e}")))?;
        }
        let client = Client::new(timeout).map_err(wrong)?;
        let phrase =
            Phrase { console_url: console_url.trim_end_matches('/').to_owned(), language: destination.language };
        Ok(Self { destination: destination.clone(), url, secret, client, phrase })
    }

    /// The destination.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The message that tells of the first so many of these alerts that fit into one.
    /// `notices` must not be empty.
    pub fn message(&self, notices: &[&Notice]) -> Message {
        message::compose(self.destination.service, &self.phrase, notices)
    }

    /// Sends a message. `id` stays the same when the same alerts are sent again.
    /// Never fails: whatever goes wrong is an [`Outcome`].
    pub async fn send(&self, message: &Message, id: Uuid) -> Outcome {
        let service = self.destination.service;
        let signed = signature::sign(service, self.secret.as_ref(), &self.url, message.body.clone(), id, Utc::now());
        let Signed { url, headers, body } = match signed {
            Ok(signed) => signed,
            Err(why) => return Outcome::Failed { pause: None, why },
        };
        match self.client.post(&url, &headers, body).await {
            Ok(reply) => verdict::judge(service, &reply),
            Err(why) => Outcome::Failed { pause: None, why },
        }
    }
}
