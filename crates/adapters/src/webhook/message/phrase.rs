//! One alert in words, with its call data and its link.

use domain::alert::{Language, Notice};

/// How alerts are put.
#[derive(Debug, Clone)]
pub(in crate::webhook) struct Phrase {
    /// Where links lead, without a slash at the end; empty: no links.
    pub(in crate::webhook) console_url: String,
    /// In which language.
    pub(in crate::webhook) language: Language,
}

/// Longest text of one alert in one language, in characters: bounds every message.
const LONGEST: usize = 400;

impl Phrase {
    /// The second in the console.
    pub(super) fn link(&self, notice: &Notice) -> Option<String> {
        let (base, second) = (&self.console_url, notice.second().unwrap_or_default().max(0.0) as u64);
        (!base.is_empty()).then(|| format!("{base}/calls/{}?t={second}", notice.job_id))
    }

    /// The first line of a message; the word `emofleet` is in each, as the keyword that some
    /// robots insist on.
    pub(super) fn title(&self, notices: &[&Notice]) -> String {
        let count = notices.len();
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

    /// The word on a link.
    pub(super) fn listen(&self) -> &'static str {
        match self.language {
            Language::Chinese => "收听",
            Language::English => "listen",
            Language::Both => "收听 listen",
        }
    }

    /// An alert as one or two plain sentences.
    pub(super) fn alert(&self, notice: &Notice) -> String {
        let chinese = || cut(&with_data(notice.in_chinese(), notice, chinese_name));
        let english = || cut(&with_data(notice.in_english(), notice, |name| name));
        match self.language {
            Language::Chinese => chinese(),
            Language::English => english(),
            Language::Both => format!("{} / {}", chinese(), english()),
        }
    }
}

fn with_data(sentence: String, notice: &Notice, name: impl Fn(&str) -> &str) -> String {
    let data = notice.call.iter().map(|(key, value)| format!(" · {} {value}", name(key)));
    data.fold(sentence, |text, datum| text + &datum)
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

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}
