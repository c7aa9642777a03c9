//! The text of an alert for people: its sentence, its call data, its link.

use domain::alert::{AlertMessage, Language};

/// Writes alerts in one language, with links to one console.
#[derive(Debug, Clone)]
pub struct AlertText {
    /// Base of links, without a slash at the end; empty: no links.
    console_url: String,
    language: Language,
}

/// Most characters of one alert in one language: bounds every message.
const MAX_CHARS: usize = 400;

impl AlertText {
    /// `console_url` is the base of links; empty: no links.
    pub(super) fn new(console_url: &str, language: Language) -> Self {
        Self { console_url: console_url.trim_end_matches('/').to_owned(), language }
    }

    /// The call in the console, at the second where the evidence begins.
    pub(super) fn link(&self, alert: &AlertMessage) -> Option<String> {
        let (base, second) = (&self.console_url, alert.start_s().unwrap_or_default().max(0.0) as u64);
        (!base.is_empty()).then(|| format!("{base}/calls/{}?t={second}", alert.job_id))
    }

    /// The first line of a message. It always has the word `emofleet`, for robots that require a keyword.
    pub(super) fn title(&self, alerts: &[&AlertMessage]) -> String {
        let count = alerts.len();
        let (chinese, english) = if count == 1 {
            ("emofleet 语音情绪告警".to_owned(), "emofleet: emotion alert".to_owned())
        } else {
            (format!("emofleet 语音情绪告警（共 {count} 条）"), format!("emofleet: {count} emotion alerts"))
        };
        match self.language {
            Language::Chinese => chinese,
            Language::English => english,
            Language::Both => format!("{chinese} / {english}"),
        }
    }

    /// The label of a link.
    pub(super) fn link_label(&self) -> &'static str {
        match self.language {
            Language::Chinese => "收听",
            Language::English => "listen",
            Language::Both => "收听 listen",
        }
    }

    /// An alert as one or two sentences, with its call data.
    pub(super) fn sentence(&self, alert: &AlertMessage) -> String {
        let chinese = || truncate(&with_call_data(alert.in_chinese(), alert, chinese_name));
        let english = || truncate(&with_call_data(alert.in_english(), alert, |name| name));
        match self.language {
            Language::Chinese => chinese(),
            Language::English => english(),
            Language::Both => format!("{} / {}", chinese(), english()),
        }
    }
}

fn with_call_data(sentence: String, alert: &AlertMessage, name: impl Fn(&str) -> &str) -> String {
    let fields = alert.call.iter().map(|(key, value)| format!(" · {} {value}", name(key)));
    fields.fold(sentence, |text, field| text + &field)
}

fn chinese_name(name: &str) -> &str {
    match name {
        "call_id" => "通话",
        "agent" => "坐席",
        "team" => "团队",
        "customer" => "客户",
        "started_at" => "开始于",
        other => other.strip_prefix("attributes.").unwrap_or(other),
    }
}

fn truncate(text: &str) -> String {
    if text.chars().count() <= MAX_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_CHARS - 1).chain(['…']).collect()
}
