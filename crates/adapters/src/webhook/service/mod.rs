//! Chat services: one file for each, registered in [`SERVICES`]. `docs/recipes/alert-destination.md`
//! is how to add one.

mod dingtalk;
mod feishu;
mod slack;
mod standard;
mod wecom;

use domain::alert::{AlertMessage, Language, RateLimit};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::response::ErrorCode;
use super::signing::Signature;
use super::text::AlertText;
use super::{Body, MAX_ALERTS};

/// All services, in the order in which messages name them.
pub const SERVICES: &[&dyn ChatService] =
    &[&standard::StandardWebhook, &slack::Slack, &dingtalk::DingTalk, &wecom::WeCom, &feishu::Feishu];

/// Whether a destination of a service has a secret to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretUse {
    /// Every request is signed.
    Required,
    /// The receiver may be set up to check signatures.
    Optional,
    /// The service checks no signature: its URL is the secret.
    Unsupported,
}

/// A kind of webhook: everything that differs between the services that alerts are sent to.
pub trait ChatService: std::fmt::Debug + Sync {
    /// Lower-case name, as in the alert file.
    fn name(&self) -> &'static str;

    /// Most requests by default: below the service's own limit, since others may use the same webhook.
    fn rate_limit(&self) -> RateLimit;

    /// Language of its messages by default.
    fn language(&self) -> Language {
        Language::Chinese
    }

    /// Whether its destinations have a secret.
    fn secret(&self) -> SecretUse {
        SecretUse::Unsupported
    }

    /// Whether a secret can be used.
    ///
    /// # Errors
    /// What is wrong with it, without the secret: "is shorter than 16 bytes".
    fn check_secret(&self, _secret: &SecretString) -> Result<(), String> {
        Ok(())
    }

    /// The body of a request with these alerts; at least one.
    fn render(&self, text: &AlertText, alerts: &[&AlertMessage]) -> Value;

    /// Whether a body is within the service's limit on bytes, with room for a signature.
    fn fits(&self, body: &Value) -> bool;

    /// Signs in the URL or in the body. By default nothing.
    fn sign(&self, _signature: &Signature<'_>, _url: &mut Url, _body: &mut Value) {}

    /// Signs in headers, from the bytes of the body. By default none.
    ///
    /// # Errors
    /// As [`ChatService::check_secret`].
    fn signature_headers(
        &self,
        _signature: &Signature<'_>,
        _body: &[u8],
    ) -> Result<Vec<(&'static str, String)>, String> {
        Ok(Vec::new())
    }

    /// Fields of a response's JSON that may hold the service's error code. None: the HTTP status decides.
    fn error_code_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The meaning of an error code.
    fn classify(&self, code: i64) -> ErrorCode {
        if code == 0 { ErrorCode::Success } else { ErrorCode::Other }
    }
}

/// The service with this name.
pub fn find(name: &str) -> Option<&'static dyn ChatService> {
    SERVICES.iter().copied().find(|service| service.name() == name)
}

/// The body for as many of the alerts as fit, from the first on; at least one.
pub(super) fn body(service: &dyn ChatService, text: &AlertText, alerts: &[&AlertMessage]) -> Body {
    for count in (1..=alerts.len().min(MAX_ALERTS)).rev() {
        let json = service.render(text, &alerts[..count]);
        if count == 1 || service.fits(&json) {
            return Body { json, alerts: count };
        }
    }
    Body { json: Value::Null, alerts: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::JobId;
    use domain::alert::{MessageKind, Severity};
    use std::collections::BTreeMap;

    fn alert(call_id: &str) -> AlertMessage {
        AlertMessage {
            id: 1,
            kind: MessageKind::Fired,
            rule: "customer-angry".into(),
            severity: Severity::Critical,
            at: chrono::DateTime::UNIX_EPOCH,
            job_id: JobId(uuid::Uuid::nil()),
            call: BTreeMap::from([("call_id".into(), call_id.into()), ("team".into(), "七队".into())]),
            evidence: Vec::new(),
            held_back: 0,
        }
    }

    fn rendered(service: &str, language: Language, alerts: &[AlertMessage]) -> Body {
        let text = AlertText::new("https://console.example", language);
        body(find(service).expect("registered"), &text, &alerts.iter().collect::<Vec<_>>())
    }

    #[test]
    fn names_are_unique_and_in_lower_case() {
        for (n, service) in SERVICES.iter().enumerate() {
            assert!(service.name().bytes().all(|b| b.is_ascii_lowercase()), "{}", service.name());
            assert!(SERVICES[..n].iter().all(|other| other.name() != service.name()), "{} twice", service.name());
        }
    }

    #[test]
    fn every_service_renders_every_alert_and_says_how_many() {
        let many: Vec<_> = (0..200).map(|n| alert(&format!("call{n:03}{}", "通".repeat(150)))).collect();
        for service in SERVICES {
            for language in [Language::Chinese, Language::English, Language::Both] {
                let body = rendered(service.name(), language, &many);
                assert!(service.fits(&body.json) && body.alerts >= 2, "{}: {}", service.name(), body.alerts);
                let text = body.json.to_string();
                let named = (0..200).filter(|n| text.contains(&format!("call{n:03}"))).count();
                assert_eq!(named, body.alerts, "{}", service.name());
            }
        }
        assert_eq!(rendered("webhook", Language::Both, &many).alerts, MAX_ALERTS);
    }

    #[test]
    fn the_longest_single_alert_fits() {
        let mut long = alert(&"长".repeat(200));
        for n in 0..64 {
            long.call.insert(format!("attributes.{n}"), "长".repeat(200));
        }
        for service in SERVICES {
            let body = rendered(service.name(), Language::Both, std::slice::from_ref(&long));
            assert!(service.fits(&body.json), "{}", service.name());
        }
    }

    #[test]
    fn call_data_becomes_no_mention_and_no_link() {
        let hostile = [alert("<!channel> <@U1> [x](http://evil) @all `#h`")];
        let slack = rendered("slack", Language::English, &hostile).json.to_string();
        let verbatim = slack.matches("\"verbatim\":true").count();
        assert_eq!(verbatim, slack.matches("\"mrkdwn\"").count(), "bare URLs are no links: {slack}");
        assert!(!slack.contains("<!channel>") && !slack.contains("<@U1>"), "{slack}");
        for service in ["dingtalk", "wecom", "feishu"] {
            let text = rendered(service, Language::Chinese, &hostile).json.to_string();
            assert!(!text.contains("@all") && !text.contains("](http://evil") && text.contains("七队"), "{text}");
            assert!(text.contains("](https://console.example/calls/"), "our own link is kept: {text}");
        }
    }
}
