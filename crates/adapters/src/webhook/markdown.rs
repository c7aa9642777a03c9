//! The markdown that DingTalk, WeCom and Feishu have in common.

use domain::alert::{AlertMessage, MessageKind, Severity};

use super::text::AlertText;

/// One item per alert, with its link.
pub(super) fn list(text: &AlertText, alerts: &[&AlertMessage]) -> String {
    let item = |alert: &&AlertMessage| {
        let link = text.link(alert).map_or(String::new(), |url| format!(" [{}]({url})", text.link_label()));
        format!("- {} {}{link}", symbol(alert), escape(&text.sentence(alert)))
    };
    alerts.iter().map(item).collect::<Vec<_>>().join("\n")
}

/// A symbol for the severity, or for a resolved group.
pub(super) fn symbol(alert: &AlertMessage) -> &'static str {
    match (alert.kind, alert.severity) {
        (MessageKind::Resolved, _) => "✅",
        (_, Severity::Critical) => "🔴",
        (_, Severity::Warning) => "🟠",
        (_, Severity::Info) => "🔵",
    }
}

/// Call data must not become a mention, a link or a heading. These services know no escape, so
/// characters with a meaning are replaced by their full-width forms.
fn escape(text: &str) -> String {
    let full_width = |c: char| match c {
        '<' => '＜',
        '>' => '＞',
        '[' => '［',
        ']' => '］',
        '*' => '＊',
        '`' => '＇',
        '@' => '＠',
        '#' => '＃',
        '\n' | '\r' => ' ',
        other => other,
    };
    text.chars().map(full_width).collect()
}
