//! Messages in the chat services' own formats.

use domain::alert::{Kind, Notice, Severity};
use serde_json::{Value, json};

use super::Phrase;

/// Text of a section in Slack, in characters (its limit is 3000).
const SLACK_SECTION: usize = 2900;

pub(super) fn slack(phrase: &Phrase, notices: &[&Notice]) -> Value {
    let title = phrase.title(notices);
    let section = |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let alerts = notices.iter().map(|notice| {
        let text: String = escape_slack(&phrase.alert(notice)).chars().take(SLACK_SECTION - 300).collect();
        let link = phrase.link(notice).map_or(String::new(), |url| format!(" <{url}|{}>", phrase.listen()));
        section(format!("{} {text}{link}", sign(notice)))
    });
    let blocks: Vec<_> = std::iter::once(section(format!("*{title}*"))).chain(alerts).collect();
    // `text` is what notifications show.
    json!({ "text": format!("{title}: {}", escape_slack(&phrase.alert(notices[0]))), "blocks": blocks })
}

pub(super) fn dingtalk(phrase: &Phrase, notices: &[&Notice]) -> Value {
    let title = phrase.title(notices);
    let text = format!("#### {title}\n\n{}", list(phrase, notices));
    json!({ "msgtype": "markdown", "markdown": { "title": title, "text": text } })
}

pub(super) fn wecom(phrase: &Phrase, notices: &[&Notice]) -> Value {
    let content = format!("**{}**\n{}", phrase.title(notices), list(phrase, notices));
    json!({ "msgtype": "markdown", "markdown": { "content": content } })
}

pub(super) fn feishu(phrase: &Phrase, notices: &[&Notice]) -> Value {
    let worst = notices.iter().map(|n| n.severity).max().unwrap_or(Severity::Info);
    let colour = match worst {
        Severity::Critical => "red",
        Severity::Warning => "orange",
        Severity::Info => "blue",
    };
    json!({
        "msg_type": "interactive",
        "card": {
            "config": { "wide_screen_mode": true },
            "header": { "template": colour, "title": { "tag": "plain_text", "content": phrase.title(notices) } },
            "elements": [{ "tag": "markdown", "content": list(phrase, notices) }],
        },
    })
}

/// One item per alert, in the markdown that the three have in common.
fn list(phrase: &Phrase, notices: &[&Notice]) -> String {
    let item = |notice: &&Notice| {
        let link = phrase.link(notice).map_or(String::new(), |url| format!(" [{}]({url})", phrase.listen()));
        format!("- {} {}{link}", sign(notice), escape_markdown(&phrase.alert(notice)))
    };
    notices.iter().map(item).collect::<Vec<_>>().join("\n")
}

fn sign(notice: &Notice) -> &'static str {
    match (notice.kind, notice.severity) {
        (Kind::Resolved, _) => "✅",
        (_, Severity::Critical) => "🔴",
        (_, Severity::Warning) => "🟠",
        (_, Severity::Info) => "🔵",
    }
}

/// Call data comes from outside: it must not become a mention, a link or a heading.
fn escape_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// These services know no escape: what has a meaning is replaced by its full-width twin.
fn escape_markdown(text: &str) -> String {
    let harmless = |c: char| match c {
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
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Message, compose};
    use super::*;
    use domain::JobId;
    use domain::alert::{Language, Service};
    use std::collections::BTreeMap;

    fn notice(call_id: &str) -> Notice {
        Notice {
            id: 1,
            kind: Kind::Fired,
            rule: "customer-angry".into(),
            severity: Severity::Critical,
            at: chrono::DateTime::UNIX_EPOCH,
            job_id: JobId(uuid::Uuid::nil()),
            call: BTreeMap::from([("call_id".into(), call_id.into()), ("team".into(), "七队".into())]),
            evidence: Vec::new(),
            held_back: 0,
        }
    }

    fn message(service: Service, language: Language, notices: &[Notice]) -> Message {
        let phrase = Phrase { console_url: "https://console.example".into(), language };
        compose(service, &phrase, &notices.iter().collect::<Vec<_>>())
    }

    #[test]
    fn call_data_can_mention_nobody_and_link_nowhere() {
        let evil = [notice("<!channel> <@U1> [x](http://evil) @all `#h`")];
        let slack = message(Service::Slack, Language::English, &evil).body.to_string();
        assert!(!slack.contains("<!channel>") && !slack.contains("<@U1>"), "{slack}");
        for service in [Service::DingTalk, Service::WeCom, Service::Feishu] {
            let text = message(service, Language::Chinese, &evil).body.to_string();
            assert!(!text.contains("@all") && !text.contains("](http://evil") && text.contains("七队"), "{text}");
            assert!(text.contains("](https://console.example/calls/"), "our own link stays: {text}");
        }
    }

    #[test]
    fn messages_keep_within_each_services_bytes_and_say_how_many_they_tell_of() {
        let many: Vec<_> = (0..200).map(|n| notice(&format!("{n}-{}", "通".repeat(150)))).collect();
        for language in [Language::Chinese, Language::English, Language::Both] {
            let wecom = message(Service::WeCom, language, &many);
            let content = wecom.body["markdown"]["content"].as_str().expect("markdown").to_owned();
            assert!(content.len() <= 4096 && wecom.tells >= 2, "{} bytes, {} alerts", content.len(), wecom.tells);
            assert_eq!(content.matches("\n- ").count(), wecom.tells);
            for service in [Service::DingTalk, Service::Feishu] {
                let message = message(service, language, &many);
                assert!(message.body.to_string().len() <= 20_000 && message.tells >= 10);
            }
            let slack = message(Service::Slack, language, &many);
            assert!(slack.body["blocks"].as_array().is_some_and(|blocks| blocks.len() == slack.tells + 1));
        }
        assert_eq!(message(Service::Webhook, Language::Both, &many).tells, super::super::super::MOST as usize);
    }

    #[test]
    fn even_the_longest_single_alert_fits() {
        let mut long = notice(&"长".repeat(200));
        for n in 0..64 {
            long.call.insert(format!("attributes.{n}"), "长".repeat(200));
        }
        let wecom = message(Service::WeCom, Language::Both, &[long]);
        assert!(wecom.body["markdown"]["content"].as_str().is_some_and(|text| text.len() <= 4096));
    }
}
