//! The outcome of a request, from its response. Chat services answer 200 and put the error into the body.

use chrono::{DateTime, Utc};
use domain::alert::DeliveryOutcome;
use serde_json::Value;
use std::time::Duration;

use super::client::Response;
use super::service::ChatService;

/// Longest pause that a service may ask for.
const MAX_PAUSE: Duration = Duration::from_hours(1);
/// The pause when a service limits the rate and names none: the usual window.
pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// A service's own error code, which goes before the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// No error.
    Success,
    /// Too many requests; the pause to make.
    RateLimited(Duration),
    /// This message is too long or malformed; others may be accepted.
    Rejected,
    /// Any other error: token, signature, keyword, source address, an error of the service.
    Other,
}

/// The outcome of a request.
pub(super) fn outcome(service: &dyn ChatService, response: &Response) -> DeliveryOutcome {
    if let Some(outcome) = by_code(service, response) {
        return outcome;
    }
    let retry_after = response.retry_after.as_deref().and_then(retry_after);
    let reason = format!("HTTP {}{}", response.status, excerpt(&response.body));
    match response.status {
        // What answers is not the service, or its answer broke off: whether it took the message is in the body.
        200..=299 if !service.error_code_fields().is_empty() => {
            DeliveryOutcome::Failed { retry_after, reason: format!("{reason}: no code of {}", service.name()) }
        }
        200..=299 => DeliveryOutcome::Delivered,
        300..=399 => {
            let reason = format!("HTTP {}: a redirect, which is not followed: set the new address", response.status);
            DeliveryOutcome::Failed { retry_after, reason }
        }
        429 => DeliveryOutcome::Busy { retry_after: retry_after.unwrap_or(MINUTE), reason },
        400 | 413 | 422 => DeliveryOutcome::Refused { reason },
        _ => DeliveryOutcome::Failed { retry_after, reason },
    }
}

fn by_code(service: &dyn ChatService, response: &Response) -> Option<DeliveryOutcome> {
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    let code = service.error_code_fields().iter().find_map(|field| body.get(field))?.as_i64()?;
    let reason = format!("{} {code}{}", service.name(), excerpt(&response.body));
    Some(match service.classify(code) {
        ErrorCode::Success => DeliveryOutcome::Delivered,
        ErrorCode::RateLimited(retry_after) => DeliveryOutcome::Busy { retry_after, reason },
        ErrorCode::Rejected => DeliveryOutcome::Refused { reason },
        ErrorCode::Other => DeliveryOutcome::failed(reason),
    })
}

/// The beginning of a response, on one line.
fn excerpt(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = if let Ok(seconds) = text.parse::<u64>() {
        seconds
    } else {
        let until = DateTime::parse_from_rfc2822(text).ok()?;
        u64::try_from((until.with_timezone(&Utc) - Utc::now()).num_seconds()).unwrap_or(0)
    };
    Some(Duration::from_secs(seconds.max(1)).min(MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn response(service: &str, status: u16, body: &str) -> DeliveryOutcome {
        let service = find(service).expect("registered");
        outcome(service, &Response { status, retry_after: None, body: body.into() })
    }

    #[test]
    fn a_200_can_carry_an_error_code() {
        let dingtalk = |body: &str| response("dingtalk", 200, body);
        assert_eq!(dingtalk(r#"{"errcode":0,"errmsg":"ok"}"#), DeliveryOutcome::Delivered);
        let busy = dingtalk(r#"{"errcode":130101,"errmsg":"too fast"}"#);
        assert!(matches!(busy, DeliveryOutcome::Busy { retry_after, .. } if retry_after == 10 * MINUTE));
        assert!(matches!(dingtalk(r#"{"errcode":310000,"errmsg":"sign not match"}"#), DeliveryOutcome::Failed { .. }));
        let wecom = response("wecom", 200, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#);
        assert!(matches!(wecom, DeliveryOutcome::Busy { .. }));
        let feishu = |status, body: &str| response("feishu", status, body);
        assert_eq!(feishu(200, r#"{"StatusCode":0,"StatusMessage":"success"}"#), DeliveryOutcome::Delivered);
        assert_eq!(feishu(200, r#"{"code":0}"#), DeliveryOutcome::Delivered);
        assert!(matches!(feishu(400, r#"{"code":11232,"msg":"frequency limited"}"#), DeliveryOutcome::Busy { .. }));
        assert!(matches!(feishu(200, r#"{"code":19021,"msg":"sign match fail"}"#), DeliveryOutcome::Failed { .. }));
        for none in ["", "<html>Welcome</html>", r#"{"errcode":"#, "{}"] {
            assert!(matches!(dingtalk(none), DeliveryOutcome::Failed { .. }), "{none}");
        }
        assert_eq!(response("slack", 200, "ok"), DeliveryOutcome::Delivered);
    }

    #[test]
    fn the_pause_is_the_requested_one_up_to_an_hour() {
        let requested = |text: &str| {
            let response = Response { status: 429, retry_after: Some(text.into()), body: Vec::new() };
            let outcome = outcome(find("slack").expect("registered"), &response);
            let DeliveryOutcome::Busy { retry_after, .. } = outcome else { panic!("429 is busy") };
            retry_after.as_secs()
        };
        assert_eq!((requested("7"), requested("0"), requested("999999"), requested("soon")), (7, 1, 3600, 60));
        let date = (Utc::now() + chrono::TimeDelta::seconds(90)).to_rfc2822();
        assert!((85..=90).contains(&requested(&date)));
    }

    #[test]
    fn a_refused_message_is_not_a_failed_destination() {
        assert!(matches!(response("webhook", 413, ""), DeliveryOutcome::Refused { .. }));
        for status in [301, 401, 404, 410, 500, 503] {
            assert!(matches!(response("webhook", status, ""), DeliveryOutcome::Failed { .. }), "{status}");
        }
    }
}
