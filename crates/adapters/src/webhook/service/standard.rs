//! `webhook`: JSON for programs, signed as <https://www.standardwebhooks.com> says.
//!
//! The body always has a list of alerts, for one alert too. `docs/alerts.md` describes it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::Utc;
use domain::alert::{AlertMessage, RateLimit};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{ChatService, SecretUse};
use crate::webhook::signing::{Signature, hmac_base64};
use crate::webhook::text::AlertText;

/// Least bytes of a key.
const MIN_KEY: usize = 16;

#[derive(Debug)]
pub(super) struct StandardWebhook;

impl ChatService for StandardWebhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn rate_limit(&self) -> RateLimit {
        RateLimit { per_minute: 600, per_second: 20 }
    }

    fn secret(&self) -> SecretUse {
        SecretUse::Required
    }

    fn check_secret(&self, secret: &SecretString) -> Result<(), String> {
        key(secret).map(drop)
    }

    fn render(&self, text: &AlertText, alerts: &[&AlertMessage]) -> Value {
        let alerts: Vec<_> = alerts.iter().map(|alert| with_text(text, alert)).collect();
        json!({ "v": 1, "sent_at": Utc::now(), "alerts": alerts })
    }

    fn fits(&self, body: &Value) -> bool {
        body.to_string().len() <= 256 * 1024
    }

    fn signature_headers(&self, signature: &Signature<'_>, body: &[u8]) -> Result<Vec<(&'static str, String)>, String> {
        let (id, timestamp) = (format!("msg_{}", signature.id.simple()), signature.now.timestamp());
        let sign = sign(signature.secret, &id, timestamp, body)?;
        Ok(vec![("webhook-signature", sign), ("webhook-timestamp", timestamp.to_string()), ("webhook-id", id)])
    }
}

fn with_text(text: &AlertText, alert: &AlertMessage) -> Value {
    let mut json = json!(alert);
    json["second"] = json!(alert.start_s());
    json["link"] = json!(text.link(alert));
    json["text"] = json!({ "en": alert.in_english(), "zh": alert.in_chinese() });
    json
}

/// The signed text is `id.timestamp.body`.
fn sign(secret: &SecretString, id: &str, timestamp_s: i64, body: &[u8]) -> Result<String, String> {
    let head = format!("{id}.{timestamp_s}.");
    Ok(format!("v1,{}", hmac_base64(&key(secret)?, &[head.as_bytes(), body])))
}

/// The key is base64 behind `whsec_`; any other text is the key itself.
fn key(secret: &SecretString) -> Result<Vec<u8>, String> {
    let secret = secret.expose_secret();
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => BASE64.decode(encoded).map_err(|_| "begins with whsec_, but no base64 follows".to_owned())?,
        None => secret.as_bytes().to_vec(),
    };
    if key.len() < MIN_KEY {
        return Err(format!("is shorter than {MIN_KEY} bytes: make one with `openssl rand -hex 32`"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specifications_example() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let body = br#"{"test": 2432232314}"#;
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).expect("a key");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn weak_secrets_are_refused() {
        assert!(key(&SecretString::from("short".to_owned())).is_err());
        assert!(key(&SecretString::from("whsec_!!".to_owned())).is_err());
    }
}
