//! `feishu`: the custom bot of Feishu and of Lark, <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>.

use domain::alert::{AlertMessage, RateLimit, Severity};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{ChatService, SecretUse};
use crate::webhook::markdown;
use crate::webhook::response::{ErrorCode, MINUTE};
use crate::webhook::signing::{Signature, hmac_base64};
use crate::webhook::text::AlertText;

#[derive(Debug)]
pub(super) struct Feishu;

impl ChatService for Feishu {
    fn name(&self) -> &'static str {
        "feishu"
    }

    /// Feishu allows 100 a minute and 5 a second.
    fn rate_limit(&self) -> RateLimit {
        RateLimit { per_minute: 90, per_second: 4 }
    }

    fn secret(&self) -> SecretUse {
        SecretUse::Optional
    }

    fn render(&self, text: &AlertText, alerts: &[&AlertMessage]) -> Value {
        let severity = alerts.iter().map(|alert| alert.severity).max().unwrap_or(Severity::Info);
        let colour = match severity {
            Severity::Critical => "red",
            Severity::Warning => "orange",
            Severity::Info => "blue",
        };
        json!({
            "msg_type": "interactive",
            "card": {
                "config": { "wide_screen_mode": true },
                "header": { "template": colour, "title": { "tag": "plain_text", "content": text.title(alerts) } },
                "elements": [{ "tag": "markdown", "content": markdown::list(text, alerts) }],
            },
        })
    }

    fn fits(&self, body: &Value) -> bool {
        body.to_string().len() <= 19_000
    }

    fn sign(&self, signature: &Signature<'_>, _url: &mut Url, body: &mut Value) {
        let timestamp = signature.now.timestamp();
        body["timestamp"] = json!(timestamp.to_string());
        body["sign"] = json!(sign(signature.secret, timestamp));
    }

    fn error_code_fields(&self) -> &'static [&'static str] {
        &["code", "StatusCode"]
    }

    fn classify(&self, code: i64) -> ErrorCode {
        match code {
            0 => ErrorCode::Success,
            9_499 | 11_232 => ErrorCode::RateLimited(MINUTE),
            9_500..=9_999 | 11_246 | 19_002 => ErrorCode::Rejected,
            _ => ErrorCode::Other,
        }
    }
}

/// The key is `timestamp\nsecret`, the signed text is empty: the other way round than DingTalk's.
fn sign(secret: &SecretString, timestamp_s: i64) -> String {
    hmac_base64(format!("{timestamp_s}\n{}", secret.expose_secret()).as_bytes(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_another_program() {
        // By Python's hmac and base64.
        let secret = SecretString::from("SEC000000000000000000000".to_owned());
        assert_eq!(sign(&secret, 1_700_000_000), "T/Rh7mO9UfAMVq2oLqqH6N/gcjNQWQW4G5Lekc5WAeo=");
    }
}
