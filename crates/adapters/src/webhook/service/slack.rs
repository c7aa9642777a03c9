//! `slack`: Slack's incoming webhook, <https://api.slack.com/messaging/webhooks>.

use domain::alert::{AlertMessage, Language, RateLimit};
use serde_json::{Value, json};

use super::ChatService;
use crate::webhook::markdown::symbol;
use crate::webhook::text::AlertText;

/// Most characters of an alert in a section, whose limit is 3000: room is left for the link.
const MAX_CHARS: usize = 2600;

#[derive(Debug)]
pub(super) struct Slack;

impl ChatService for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    /// Slack allows one a second.
    fn rate_limit(&self) -> RateLimit {
        RateLimit { per_minute: 50, per_second: 1 }
    }

    fn language(&self) -> Language {
        Language::English
    }

    fn render(&self, text: &AlertText, alerts: &[&AlertMessage]) -> Value {
        let title = text.title(alerts);
        // Verbatim: Slack would make links of bare URLs, and mentions of names.
        let section =
            |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } });
        let sections = alerts.iter().map(|alert| {
            let sentence: String = escape(&text.sentence(alert)).chars().take(MAX_CHARS).collect();
            let link = text.link(alert).map_or(String::new(), |url| format!(" <{url}|{}>", text.link_label()));
            section(format!("{} {sentence}{link}", symbol(alert)))
        });
        let blocks: Vec<_> = std::iter::once(section(format!("*{title}*"))).chain(sections).collect();
        // `text` is what notifications show.
        json!({ "text": format!("{title}: {}", escape(&text.sentence(alerts[0]))), "blocks": blocks })
    }

    fn fits(&self, body: &Value) -> bool {
        body.to_string().len() <= 30_000
    }
}

/// Call data must not become a mention or a link.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
