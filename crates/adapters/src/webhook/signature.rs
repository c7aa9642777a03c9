//! Signatures, each in its service's way.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use domain::alert::Service;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;
use uuid::Uuid;

/// A request, ready to be sent.
pub(super) struct Signed {
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// Signs a message at this moment: services refuse signatures that are an hour old.
pub(super) fn sign(
    service: Service,
    secret: Option<&SecretString>,
    url: &Url,
    mut message: Value,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Signed, String> {
    let (mut url, mut headers) = (url.clone(), Vec::new());
    if let Some(secret) = secret {
        match service {
            Service::DingTalk => {
                let timestamp = now.timestamp_millis();
                let sign = dingtalk(secret, timestamp);
                url.query_pairs_mut().append_pair("timestamp", &timestamp.to_string()).append_pair("sign", &sign);
            }
            Service::Feishu => {
                let timestamp = now.timestamp();
                message["timestamp"] = json!(timestamp.to_string());
                message["sign"] = json!(feishu(secret, timestamp));
            }
            Service::Webhook | Service::Slack | Service::WeCom => {}
        }
    }
    let body = serde_json::to_vec(&message).map_err(|e| format!("no JSON: {e}"))?;
    if let (Service::Webhook, Some(secret)) = (service, secret) {
        let (id, timestamp) = (format!("msg_{}", id.simple()), now.timestamp());
        headers.push(("webhook-signature", standard(secret, &id, timestamp, &body)?));
        headers.push(("webhook-timestamp", timestamp.to_string()));
        headers.push(("webhook-id", id));
    }
    Ok(Signed { url, headers, body })
}

/// HMAC-SHA256.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Key is the secret, message `timestamp\nsecret`.
fn dingtalk(secret: &SecretString, timestamp_ms: i64) -> String {
    let secret = secret.expose_secret();
    BASE64.encode(hmac(secret.as_bytes(), &[format!("{timestamp_ms}\n{secret}").as_bytes()]))
}

/// The other way round: key is `timestamp\nsecret`, the message is empty.
fn feishu(secret: &SecretString, timestamp_s: i64) -> String {
    BASE64.encode(hmac(format!("{timestamp_s}\n{}", secret.expose_secret()).as_bytes(), &[]))
}

/// As <https://www.standardwebhooks.com> says: message is `id.timestamp.body`.
fn standard(secret: &SecretString, id: &str, timestamp_s: i64, body: &[u8]) -> Result<String, String> {
    let key = standard_key(secret)?;
    let head = format!("{id}.{timestamp_s}.");
    Ok(format!("v1,{}", BASE64.encode(hmac(&key, &[head.as_bytes(), body]))))
}

/// The key behind `whsec_` and base64; any other text is the key itself.
pub(super) fn standard_key(secret: &SecretString) -> Result<Vec<u8>, String> {
    let secret = secret.expose_secret();
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => BASE64.decode(encoded).map_err(|_| "begins with whsec_, yet no base64 follows".to_owned())?,
        None => secret.as_bytes().to_vec(),
    };
    if key.len() < 16 { Err("is shorter than 16 bytes: make it with `openssl rand -hex 32`".into()) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_other_programs_compute() {
        // By Python's hmac and base64.
        let secret = SecretString::from("SEC000000000000000000000".to_owned());
        assert_eq!(dingtalk(&secret, 1_700_000_000_000), "1zJ/w34EOSVAYr7cu7Vo8LnebmK2/GrCgegtr8mQrqM=");
        assert_eq!(feishu(&secret, 1_700_000_000), "T/Rh7mO9UfAMVq2oLqqH6N/gcjNQWQW4G5Lekc5WAeo=");
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let body = br#"{"test": 2432232314}"#;
        let signed = standard(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).expect("a key");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn dingtalk_escapes_the_signature_in_the_query() {
        let url: Url = "https://oapi.dingtalk.com/robot/send?access_token=t".parse().expect("a URL");
        let secret = SecretString::from("SECret".to_owned());
        let signed = sign(Service::DingTalk, Some(&secret), &url, json!({}), Uuid::nil(), DateTime::UNIX_EPOCH);
        let url = signed.expect("signed").url;
        let query = url.query().unwrap_or_default();
        assert!(query.starts_with("access_token=t&timestamp=0&sign="), "{query}");
        assert!(!query.trim_end_matches("%3D").contains(['+', '/']), "{query}");
    }

    #[test]
    fn weak_secrets_are_refused() {
        assert!(standard_key(&SecretString::from("short".to_owned())).is_err());
        assert!(standard_key(&SecretString::from("whsec_!!".to_owned())).is_err());
    }
}
