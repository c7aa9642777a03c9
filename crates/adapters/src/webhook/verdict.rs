//! What an answer means. The chat services answer 200 and say in the body what went wrong.

use chrono::{DateTime, Utc};
use domain::alert::Service;
use serde_json::Value;
use std::time::Duration;

use super::client::Reply;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Delivered,
    /// It was too much, or the service asks for a pause.
    Busy {
        /// How long the service wants to be left alone.
        pause: Duration,
        /// What it said.
        why: String,
    },
    /// The destination is at fault: away, broken, or refusing us as a whole.
    Failed {
        /// How long it wants to be left alone, if it said so.
        pause: Option<Duration>,
        /// What happened.
        why: String,
    },
    /// This message is at fault.
    Refused {
        /// What the service said.
        why: String,
    },
}

/// Longest pause that a service may ask for.
const LONGEST: Duration = Duration::from_hours(1);
/// Windows of a minute are over by then.
const MINUTE: Duration = Duration::from_mins(1);
/// DingTalk bans for about ten minutes.
const BAN: Duration = Duration::from_mins(10);

pub(super) fn judge(service: Service, reply: &Reply) -> Outcome {
    if let Some(outcome) = by_code(service, reply) {
        return outcome;
    }
    let pause = reply.retry_after.as_deref().and_then(retry_after);
    let why = format!("HTTP {}{}", reply.status, said(&reply.body));
    match reply.status {
        200..=299 => Outcome::Delivered,
        300..=399 => {
            let why = format!("HTTP {}: a redirect, which is not followed: set the new address", reply.status);
            Outcome::Failed { pause, why }
        }
        429 => Outcome::Busy { pause: pause.unwrap_or(MINUTE), why },
        400 | 413 | 422 => Outcome::Refused { why },
        _ => Outcome::Failed { pause, why },
    }
}

/// The services' own codes, which go before the HTTP status.
fn by_code(service: Service, reply: &Reply) -> Option<Outcome> {
    let field = match service {
        Service::DingTalk | Service::WeCom => "errcode",
        Service::Feishu => "code",
        Service::Webhook | Service::Slack => return None,
    };
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let code = body.get(field).or_else(|| body.get("StatusCode"))?.as_i64()?;
    let why = format!("{} {code}{}", service.label(), said(&reply.body));
    Some(match (service, code) {
        (_, 0) => Outcome::Delivered,
        (Service::DingTalk, 130_101 | 410_100) => Outcome::Busy { pause: BAN, why },
        (Service::WeCom, 45_009 | 45_033) | (Service::Feishu, 9_499 | 11_232) => Outcome::Busy { pause: MINUTE, why },
        // Too long, malformed: this message, no other.
        (Service::DingTalk, 40_035 | 460_101)
        | (Service::WeCom, 40_058 | 44_004 | 45_002)
        | (Service::Feishu, 9_500..=9_999 | 11_246 | 19_002) => Outcome::Refused { why },
        // Token, signature, keyword, address of origin, a trouble of theirs.
        _ => Outcome::Failed { pause: None, why },
    })
}

/// The beginning of what a service said, on one line.
fn said(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

/// Seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = if let Ok(seconds) = text.parse::<u64>() {
        seconds
    } else {
        let until = DateTime::parse_from_rfc2822(text).ok()?;
        u64::try_from((until.with_timezone(&Utc) - Utc::now()).num_seconds()).unwrap_or(0)
    };
    Some(Duration::from_secs(seconds.max(1)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, retry_after: None, body: body.into() }
    }

    #[test]
    fn a_friendly_status_can_carry_a_refusal() {
        let dingtalk = |body: &str| judge(Service::DingTalk, &reply(200, body));
        assert_eq!(dingtalk(r#"{"errcode":0,"errmsg":"ok"}"#), Outcome::Delivered);
        assert!(matches!(dingtalk(r#"{"errcode":130101,"errmsg":"too fast"}"#), Outcome::Busy { pause: BAN, .. }));
        assert!(matches!(dingtalk(r#"{"errcode":310000,"errmsg":"sign not match"}"#), Outcome::Failed { .. }));
        let wecom = judge(Service::WeCom, &reply(200, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#));
        assert!(matches!(wecom, Outcome::Busy { .. }));
        let feishu = |status, body: &str| judge(Service::Feishu, &reply(status, body));
        assert_eq!(feishu(200, r#"{"StatusCode":0,"StatusMessage":"success"}"#), Outcome::Delivered);
        assert_eq!(feishu(200, r#"{"code":0}"#), Outcome::Delivered);
        assert!(matches!(feishu(400, r#"{"code":11232,"msg":"frequency limited"}"#), Outcome::Busy { .. }));
        assert!(matches!(feishu(200, r#"{"code":19021,"msg":"sign match fail"}"#), Outcome::Failed { .. }));
    }

    #[test]
    fn the_pause_is_the_one_asked_for_within_reason() {
        let asked = |text: &str| {
            let reply = Reply { status: 429, retry_after: Some(text.into()), body: Vec::new() };
            let Outcome::Busy { pause, .. } = judge(Service::Slack, &reply) else { panic!("429 is busy") };
            pause.as_secs()
        };
        assert_eq!((asked("7"), asked("0"), asked("999999"), asked("soon")), (7, 1, 3600, 60));
        let date = (Utc::now() + chrono::TimeDelta::seconds(90)).to_rfc2822();
        assert!((85..=90).contains(&asked(&date)));
    }

    #[test]
    fn a_bad_message_is_told_from_a_bad_destination() {
        assert!(matches!(judge(Service::Webhook, &reply(413, "")), Outcome::Refused { .. }));
        for status in [301, 401, 404, 410, 500, 503] {
            assert!(matches!(judge(Service::Webhook, &reply(status, "")), Outcome::Failed { .. }), "{status}");
        }
    }
}
