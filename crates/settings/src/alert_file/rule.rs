//! `[[rule]]`.

use std::time::Duration;

use super::Groups;
use super::condition;
use super::keys::{Keys, Placed};
use super::sheet::Sheet;
use domain::alert::{Condition, Grouping, Rule, Severity, TellOf};

/// An hour: time enough to act on the first message.
const COOLDOWN: Duration = Duration::from_hours(1);
/// Names are part of routing keys, where RabbitMQ counts bytes.
const LONGEST_NAME: usize = 64;

pub(super) fn read(sheet: &mut Sheet, keys: &mut Keys<'_>, groups: &Groups) -> Option<Rule> {
    let name = name(sheet, keys);
    let severity = severity(sheet, keys, "severity").unwrap_or(Severity::Warning);
    let group_by = group_by(sheet, keys);
    let cooldown = keys.duration(sheet, "cooldown").unwrap_or(COOLDOWN);
    let resolve_after = keys.duration(sheet, "resolve_after");
    let max_age = keys.duration(sheet, "max_age");
    let notify = keys.texts(sheet, "notify").map(|list| list.value.into_iter().map(|v| v.value).collect());
    let tell = tell(sheet, keys);
    let when = when(sheet, keys, groups);
    keys.end(sheet);
    Some(Rule { name: name?, severity, when: when?, group_by, cooldown, resolve_after, max_age, notify, tell })
}

/// A name that is fit for routing keys and columns.
pub(super) fn name(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Option<String> {
    let Placed { at, value } = keys.required(sheet, "name")?;
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if value.len() > LONGEST_NAME || !value.chars().all(fit) {
        let wanted = format!("lower-case letters, digits, `-` and `_`, at most {LONGEST_NAME}");
        sheet.fault(at, format!("`name` is made of {wanted}"));
        return None;
    }
    Some(value)
}

pub(super) fn severity(sheet: &mut Sheet, keys: &mut Keys<'_>, key: &str) -> Option<Severity> {
    let Placed { at, value } = keys.text(sheet, key)?;
    let severity = Severity::from_label(&value);
    if severity.is_none() {
        sheet.fault(at, format!("`{key}` must be info, warning or critical"));
    }
    severity
}

fn group_by(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Grouping {
    let Some(Placed { at, value }) = keys.text(sheet, "group_by") else { return Grouping::Call };
    let grouping = Grouping::ALL.into_iter().find(|g| g.label() == value);
    if grouping.is_none() {
        sheet.fault(at, "`group_by` must be call, customer, agent or team");
    }
    grouping.unwrap_or(Grouping::Call)
}

/// By default what finds the call again and says whose it is, without naming a person.
fn tell(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Vec<TellOf> {
    let Some(list) = keys.texts(sheet, "tell") else { return vec![TellOf::CallId, TellOf::Team] };
    let mut tell = Vec::new();
    for Placed { at, value } in list.value {
        if let Some(datum) = TellOf::from_label(&value) {
            tell.push(datum);
        } else {
            let known = "call_id, agent, team, customer, started_at, attributes.NAME";
            sheet.fault(at, format!("`{value}` is no call data; known are {known}"));
        }
    }
    tell
}

fn when(sheet: &mut Sheet, keys: &mut Keys<'_>, groups: &Groups) -> Option<Condition> {
    if !keys.has("when") {
        sheet.fault(keys.at, "`when` is missing here: what must hold for the rule to fire");
    }
    let mut table = keys.table(sheet, "when")?;
    condition::read(sheet, &mut table, groups, 0)
}
