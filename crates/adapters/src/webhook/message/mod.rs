//! Alerts as messages: JSON for programs, chat for people.

mod chat;
mod phrase;
mod program;

pub(super) use phrase::Phrase;

use domain::alert::{Notice, Service};
use serde_json::Value;

/// A message, not signed yet.
#[derive(Debug, Clone)]
pub struct Message {
    /// What is posted.
    pub body: Value,
    /// Of how many alerts it tells, from the first on.
    pub tells: usize,
}

/// As many of the alerts, from the first on, as fit into one message; at least one.
pub(super) fn compose(service: Service, phrase: &Phrase, notices: &[&Notice]) -> Message {
    let most = notices.len().clamp(1, super::MOST as usize).min(notices.len());
    for tells in (1..=most).rev() {
        let some = &notices[..tells];
        let body = match service {
            Service::Webhook => program::json(phrase, some),
            Service::Slack => chat::slack(phrase, some),
            Service::DingTalk => chat::dingtalk(phrase, some),
            Service::WeCom => chat::wecom(phrase, some),
            Service::Feishu => chat::feishu(phrase, some),
        };
        if tells == 1 || fits(service, &body) {
            return Message { body, tells };
        }
    }
    Message { body: Value::Null, tells: 0 }
}

/// The services' limits, with room for a signature.
fn fits(service: Service, body: &Value) -> bool {
    let whole = body.to_string().len();
    match service {
        Service::Webhook => whole <= 256 * 1024,
        Service::Slack => whole <= 30_000,
        Service::WeCom => body["markdown"]["content"].as_str().is_some_and(|text| text.len() <= 4096),
        Service::DingTalk | Service::Feishu => whole <= 19_000,
    }
}
