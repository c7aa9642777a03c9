//! `[[rule]]`.

use domain::alert::{CallField, Condition, Grouping, Rule, Severity};
use std::time::Duration;

use super::Groups;
use super::condition;
use super::diagnostics::Diagnostics;
use super::table_reader::{Spanned, TableReader};

/// Enough to act on the first message.
const DEFAULT_COOLDOWN: Duration = Duration::from_hours(1);
/// Most bytes of a name: names are part of routing keys.
const MAX_NAME: usize = 64;

pub(super) fn read(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>, groups: &Groups) -> Option<Rule> {
    let name = name(diagnostics, table);
    let severity = severity(diagnostics, table, "severity").unwrap_or(Severity::Warning);
    let group_by = group_by(diagnostics, table);
    let cooldown = table.duration(diagnostics, "cooldown").unwrap_or(DEFAULT_COOLDOWN);
    let resolve_after = table.duration(diagnostics, "resolve_after");
    let max_age = table.duration(diagnostics, "max_age");
    let notify = table.texts(diagnostics, "notify").map(|list| list.value.into_iter().map(|v| v.value).collect());
    let include = include(diagnostics, table);
    let when = when(diagnostics, table, groups);
    table.finish(diagnostics);
    Some(Rule { name: name?, severity, when: when?, group_by, cooldown, resolve_after, max_age, notify, include })
}

/// A name that can be part of a routing key.
pub(super) fn name(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>) -> Option<String> {
    let Spanned { at, value } = table.required(diagnostics, "name")?;
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if value.len() > MAX_NAME || !value.chars().all(valid) {
        let allowed = format!("lower-case letters, digits, `-` and `_`, at most {MAX_NAME}");
        diagnostics.error(at, format!("`name` may have {allowed}"));
        return None;
    }
    Some(value)
}

pub(super) fn severity(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>, key: &str) -> Option<Severity> {
    let Spanned { at, value } = table.text(diagnostics, key)?;
    let severity = Severity::from_label(&value);
    if severity.is_none() {
        diagnostics.error(at, format!("`{key}` must be info, warning or critical"));
    }
    severity
}

fn group_by(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>) -> Grouping {
    let Some(Spanned { at, value }) = table.text(diagnostics, "group_by") else { return Grouping::Call };
    let grouping = Grouping::from_label(&value);
    if grouping.is_none() {
        diagnostics.error(at, "`group_by` must be call, customer, agent or team");
    }
    grouping.unwrap_or(Grouping::Call)
}

/// By default the fields that identify the call and its team, but no person.
fn include(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>) -> Vec<CallField> {
    let Some(list) = table.texts(diagnostics, "include") else { return vec![CallField::CallId, CallField::Team] };
    let mut fields = Vec::new();
    for Spanned { at, value } in list.value {
        if let Some(field) = CallField::from_label(&value) {
            fields.push(field);
        } else {
            let known = "call_id, agent, team, customer, started_at, attributes.NAME";
            diagnostics.error(at, format!("`{value}` is no field of the call data; the fields are {known}"));
        }
    }
    fields
}

fn when(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>, groups: &Groups) -> Option<Condition> {
    if !table.has("when") {
        diagnostics.error(table.at, "`when` is missing here: the condition of the rule");
    }
    let mut condition = table.table(diagnostics, "when")?;
    condition::read(diagnostics, &mut condition, groups, 0)
}
