//! `dingtalk`: DingTalk's custom robot, <https://open.dingtalk.com/document/robots/custom-robot-access>.

use domain::alert::{AlertMessage, RateLimit};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

use super::{ChatService, SecretUse};
use crate::webhook::markdown;
use crate::webhook::response::ErrorCode;
use crate::webhook::signing::{Signature, hmac_base64};
use crate::webhook::text::AlertText;

/// A robot that sends too much is banned for about ten minutes.
const BAN: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(super) struct DingTalk;

impl ChatService for DingTalk {
    fn name(&self) -> &'static str {
        "dingtalk"
    }

    /// DingTalk allows 20 a minute.
    fn rate_limit(&self) -> RateLimit {
        RateLimit { per_minute: 18, per_second: 4 }
    }

    fn secret(&self) -> SecretUse {
        SecretUse::Optional
    }

    fn render(&self, text: &AlertText, alerts: &[&AlertMessage]) -> Value {
        let title = text.title(alerts);
        let content = format!("#### {title}\n\n{}", markdown::list(text, alerts));
        json!({ "msgtype": "markdown", "markdown": { "title": title, "text": content } })
    }

    fn fits(&self, body: &Value) -> bool {
        body.to_string().len() <= 19_000
    }

    fn sign(&self, signature: &Signature<'_>, url: &mut Url, _body: &mut Value) {
        let timestamp = signature.now.timestamp_millis();
        let sign = sign(signature.secret, timestamp);
        url.query_pairs_mut().append_pair("timestamp", &timestamp.to_string()).append_pair("sign", &sign);
    }

    fn error_code_fields(&self) -> &'static [&'static str] {
        &["errcode"]
    }

    fn classify(&self, code: i64) -> ErrorCode {
        match code {
            0 => ErrorCode::Success,
            130_101 | 410_100 => ErrorCode::RateLimited(BAN),
            40_035 | 460_101 => ErrorCode::Rejected,
            _ => ErrorCode::Other,
        }
    }
}

/// The key is the secret, the signed text is `timestamp\nsecret`.
fn sign(secret: &SecretString, timestamp_ms: i64) -> String {
    let secret = secret.expose_secret();
    hmac_base64(secret.as_bytes(), &[format!("{timestamp_ms}\n{secret}").as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_another_program() {
        // By Python's hmac and base64.
        let secret = SecretString::from("SEC000000000000000000000".to_owned());
        assert_eq!(sign(&secret, 1_700_000_000_000), "1zJ/w34EOSVAYr7cu7Vo8LnebmK2/GrCgegtr8mQrqM=");
    }

    #[test]
    fn the_signature_is_escaped_in_the_query() {
        let mut url: Url = "https://oapi.dingtalk.com/robot/send?access_token=t".parse().expect("a URL");
        let secret = SecretString::from("SECret".to_owned());
        let signature = Signature { secret: &secret, id: uuid::Uuid::nil(), now: chrono::DateTime::UNIX_EPOCH };
        DingTalk.sign(&signature, &mut url, &mut json!({}));
        let query = url.query().unwrap_or_default();
        assert!(query.starts_with("access_token=t&timestamp=0&sign="), "{query}");
        assert!(!query.trim_end_matches("%3D").contains(['+', '/']), "{query}");
    }
}
