//! `[[destination]]`.

use super::keys::{Keys, Placed};
use super::rule::{name, severity};
use super::sheet::Sheet;
use domain::alert::{Destination, Language, Service, Severity};

pub(super) fn read(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Option<Destination> {
    for (key, instead) in [("url", "url_env"), ("secret", "secret_env")] {
        if let Some(Placed { at, .. }) = keys.text(sheet, key) {
            let why = "addresses and secrets do not stand in this file";
            sheet.fault(at, format!("{why}: put it into an environment variable and name that in `{instead}`"));
        }
    }
    let name = name(sheet, keys);
    let service = service(sheet, keys);
    let url_env = variable(sheet, keys, "url_env", true);
    let needs_secret = service == Some(Service::Webhook);
    let secret_env = variable(sheet, keys, "secret_env", needs_secret);
    let language = language(sheet, keys);
    let min_severity = severity(sheet, keys, "min_severity").unwrap_or(Severity::Info);
    let per_minute = keys.count(sheet, "per_minute", 1..=6000).map(|n| n.value);
    let per_second = keys.count(sheet, "per_second", 1..=100).map(|n| n.value);
    keys.end(sheet);
    let service = service?;
    if secret_env.is_some() && !service.signs() {
        let label = service.label();
        sheet.fault(keys.at, format!("{label} checks no signature: its URL is the secret; leave `secret_env` out"));
    }
    let own_language = if matches!(service, Service::Slack) { Language::English } else { Language::Chinese };
    Some(Destination {
        name: name?,
        service,
        url_env: url_env?,
        secret_env,
        language: language.unwrap_or(own_language),
        min_severity,
        per_minute: per_minute.unwrap_or(service.per_minute()),
        per_second: per_second.unwrap_or(service.per_second()),
    })
}

fn service(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Option<Service> {
    let Placed { at, value } = keys.required(sheet, "service")?;
    let service = Service::ALL.into_iter().find(|s| s.label() == value);
    if service.is_none() {
        sheet.fault(at, "`service` must be webhook, slack, dingtalk, wecom or feishu");
    }
    service
}

fn language(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Option<Language> {
    let Placed { at, value } = keys.text(sheet, "language")?;
    match value.as_str() {
        "zh" => Some(Language::Chinese),
        "en" => Some(Language::English),
        "both" => Some(Language::Both),
        _ => {
            sheet.fault(at, "`language` must be zh, en or both");
            None
        }
    }
}

/// The name of an environment variable.
fn variable(sheet: &mut Sheet, keys: &mut Keys<'_>, key: &str, required: bool) -> Option<String> {
    let Placed { at, value } = if required { keys.required(sheet, key) } else { keys.text(sheet, key) }?;
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !value.chars().all(fit) || value.starts_with(|c: char| c.is_ascii_digit()) {
        sheet.fault(at, format!("`{key}` is the name of an environment variable, like TEAM7_CHAT_URL"));
        return None;
    }
    Some(value)
}
