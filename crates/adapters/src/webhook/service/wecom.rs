//! `wecom`: WeCom's group robot, <https://developer.work.weixin.qq.com/document/path/91770>.

use domain::alert::{AlertMessage, RateLimit};
use serde_json::{Value, json};

use super::ChatService;
use crate::webhook::markdown;
use crate::webhook::response::{ErrorCode, MINUTE};
use crate::webhook::text::AlertText;

/// Most bytes of a message's content.
const MAX_CONTENT: usize = 4096;

#[derive(Debug)]
pub(super) struct WeCom;

impl ChatService for WeCom {
    fn name(&self) -> &'static str {
        "wecom"
    }

    /// WeCom allows 20 a minute.
    fn rate_limit(&self) -> RateLimit {
        RateLimit { per_minute: 18, per_second: 4 }
    }

    fn render(&self, text: &AlertText, alerts: &[&AlertMessage]) -> Value {
        let content = format!("**{}**\n{}", text.title(alerts), markdown::list(text, alerts));
        json!({ "msgtype": "markdown", "markdown": { "content": content } })
    }

    fn fits(&self, body: &Value) -> bool {
        body["markdown"]["content"].as_str().is_some_and(|content| content.len() <= MAX_CONTENT)
    }

    fn error_code_fields(&self) -> &'static [&'static str] {
        &["errcode"]
    }

    fn classify(&self, code: i64) -> ErrorCode {
        match code {
            0 => ErrorCode::Success,
            45_009 | 45_033 => ErrorCode::RateLimited(MINUTE),
            40_058 | 44_004 | 45_002 => ErrorCode::Rejected,
            _ => ErrorCode::Other,
        }
    }
}
