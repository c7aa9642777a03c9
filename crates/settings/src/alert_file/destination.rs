//! `[[destination]]`.

use adapters::webhook::{self, ChatService, SERVICES, SecretUse};
use domain::alert::{Destination, Language, RateLimit, Severity};

use super::diagnostics::Diagnostics;
use super::rule::{name, severity};
use super::table_reader::{Spanned, TableReader};

pub(super) fn read(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>) -> Option<Destination> {
    for (key, instead) in [("url", "url_env"), ("secret", "secret_env")] {
        if let Some(Spanned { at, .. }) = table.text(diagnostics, key) {
            let why = "URLs and secrets are not part of this file";
            diagnostics.error(at, format!("{why}: put it into an environment variable and name that in `{instead}`"));
        }
    }
    let name = name(diagnostics, table);
    let service = service(diagnostics, table);
    let url_env = variable(diagnostics, table, "url_env", true);
    let secret_required = service.is_some_and(|service| service.secret() == SecretUse::Required);
    let secret_env = variable(diagnostics, table, "secret_env", secret_required);
    let language = language(diagnostics, table);
    let min_severity = severity(diagnostics, table, "min_severity").unwrap_or(Severity::Info);
    let per_minute = table.integer(diagnostics, "per_minute", 1..=6000).map(|n| n.value);
    let per_second = table.integer(diagnostics, "per_second", 1..=100).map(|n| n.value);
    table.finish(diagnostics);
    let service = service?;
    if secret_env.is_some() && service.secret() == SecretUse::Unsupported {
        let service = service.name();
        diagnostics
            .error(table.at, format!("{service} checks no signature: its URL is the secret; remove `secret_env`"));
    }
    let default = service.rate_limit();
    let rate_limit = RateLimit {
        per_minute: per_minute.unwrap_or(default.per_minute),
        per_second: per_second.unwrap_or(default.per_second),
    };
    Some(Destination {
        name: name?,
        service: service.name().to_owned(),
        url_env: url_env?,
        secret_env,
        language: language.unwrap_or(service.language()),
        min_severity,
        rate_limit,
    })
}

fn service(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>) -> Option<&'static dyn ChatService> {
    let Spanned { at, value } = table.required(diagnostics, "service")?;
    let service = webhook::find(&value);
    if service.is_none() {
        let names: Vec<_> = SERVICES.iter().map(|service| service.name()).collect();
        diagnostics.error(at, format!("`service` must be one of {}", names.join(", ")));
    }
    service
}

fn language(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>) -> Option<Language> {
    let Spanned { at, value } = table.text(diagnostics, "language")?;
    match value.as_str() {
        "zh" => Some(Language::Chinese),
        "en" => Some(Language::English),
        "both" => Some(Language::Both),
        _ => {
            diagnostics.error(at, "`language` must be zh, en or both");
            None
        }
    }
}

/// The name of an environment variable.
fn variable(
    diagnostics: &mut Diagnostics<'_>,
    table: &mut TableReader<'_>,
    key: &str,
    required: bool,
) -> Option<String> {
    let Spanned { at, value } = if required { table.required(diagnostics, key) } else { table.text(diagnostics, key) }?;
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !value.chars().all(valid) || value.starts_with(|c: char| c.is_ascii_digit()) {
        diagnostics.error(at, format!("`{key}` is the name of an environment variable, like TEAM7_CHAT_URL"));
        return None;
    }
    Some(value)
}
