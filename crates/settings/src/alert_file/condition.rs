//! Conditions: one table each; all keys of a table must hold.

use domain::alert::{CallField, CallPart, Condition, PatternThreshold, SpeechCondition};
use domain::{Emotion, Role};

use super::Groups;
use super::diagnostics::Diagnostics;
use super::table_reader::{Spanned, TableReader};

/// Most levels of nested tables: reading recurses.
const MAX_DEPTH: u32 = 16;

/// Keys that require an emotion or a group.
const SPEECH_KEYS: [&str; 5] = ["score", "in_a_row", "share", "shift", "third"];

/// The condition in a table; `None` if it has none that is valid, which is then an error.
pub(super) fn read(
    diagnostics: &mut Diagnostics<'_>,
    table: &mut TableReader<'_>,
    groups: &Groups,
    depth: u32,
) -> Option<Condition> {
    if depth > MAX_DEPTH {
        diagnostics.error(table.at, format!("conditions are nested deeper than {MAX_DEPTH}"));
        return None;
    }
    let (mut parts, errors) = (Vec::new(), diagnostics.count());
    let role = role(diagnostics, table);
    let speech = speech(diagnostics, table, role, groups);
    let min_speech = table.duration(diagnostics, "min_speech");
    let silence = table.flag(diagnostics, "silence");
    let role_alone = role.is_some() && speech.is_none() && min_speech.is_none() && silence.is_none();
    if role_alone && !table.has("emotion") && !table.has("emotions") && !table.has("group") && !table.has("min_speech")
    {
        diagnostics.error(
            table.at,
            "`role` alone is no condition: add `emotion`, `emotions`, `group`, `min_speech` or `silence`",
        );
    }
    parts.extend(speech.map(Condition::Speech));
    parts.extend(min_speech.map(|time| Condition::MinSpeech { role, seconds: time.as_secs_f64() }));
    match silence.map(|flag| (flag.at, flag.value)) {
        Some((_, true)) => parts.push(Condition::Silence { role }),
        Some((at, false)) => diagnostics.error(at, "`silence` can only be true: put `silence = true` into a `not`"),
        None => {}
    }
    call_data(diagnostics, table, &mut parts);
    for (key, join) in [("all", Condition::All as fn(_) -> _), ("any", Condition::Any)] {
        let tables = table.tables(diagnostics, key);
        if table.has(key) && tables.is_empty() {
            diagnostics.error(table.at, format!("`{key}` must list at least one condition"));
        }
        if table.has(key) {
            let inner = tables.into_iter().filter_map(|mut table| read(diagnostics, &mut table, groups, depth + 1));
            parts.push(join(inner.collect()));
        }
    }
    if let Some(mut table) = table.table(diagnostics, "not") {
        parts.extend(read(diagnostics, &mut table, groups, depth + 1).map(|part| Condition::Not(Box::new(part))));
    }
    if table.names().is_empty() {
        diagnostics.error(table.at, "an empty condition would hold for every call: add a key");
    }
    table.finish(diagnostics);
    if parts.is_empty() && diagnostics.count() == errors {
        diagnostics.error(table.at, "no condition is in here: name an attribute and its values, or remove it");
    }
    if parts.len() > 1 { Some(Condition::All(parts)) } else { parts.pop() }
}

fn role(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>) -> Option<Role> {
    let Spanned { at, value } = table.text(diagnostics, "role")?;
    let role = Role::from_label(&value);
    if role.is_none() {
        diagnostics.error(at, format!("`{value}` is no role; the roles are customer, agent, speaker, mixed"));
    }
    role
}

fn speech(
    diagnostics: &mut Diagnostics<'_>,
    table: &mut TableReader<'_>,
    role: Option<Role>,
    groups: &Groups,
) -> Option<SpeechCondition> {
    let named = ["emotion", "emotions", "group"].into_iter().filter(|key| table.has(key)).count();
    if named > 1 {
        diagnostics.error(table.at, "use one of `emotion`, `emotions` and `group`; combine several with all or any");
    }
    let emotions = emotions_of(diagnostics, table, groups);
    let min_score = table.number(diagnostics, "score", 0.0..=1.0).map(|score| score.value);
    let in_a_row = table.integer(diagnostics, "in_a_row", 1..=1000);
    let share = table.number(diagnostics, "share", 0.0..=1.0);
    let shift = table.number(diagnostics, "shift", 0.0..=1.0);
    let part = part(diagnostics, table);
    if named == 0 {
        if let Some(key) = SPEECH_KEYS.into_iter().find(|key| table.has(key)) {
            diagnostics.error(table.at, format!("`{key}` needs an emotion: add `emotion`, `emotions` or `group`"));
        }
        return None;
    }
    if [in_a_row.is_some(), share.is_some(), shift.is_some()].into_iter().filter(|given| *given).count() > 1 {
        diagnostics.error(table.at, "use one of `in_a_row`, `share` and `shift`; combine several with all");
    }
    if let (Some(shift), true) = (&shift, part.is_some()) {
        diagnostics.error(shift.at, "`shift` compares the first third with the last: remove `third`");
    }
    let threshold = match (in_a_row, share, shift) {
        (Some(least), _, _) => PatternThreshold::InARow(least.value),
        (_, Some(least), _) => PatternThreshold::Share(least.value),
        (_, _, Some(least)) => PatternThreshold::Shift(least.value),
        (None, None, None) => PatternThreshold::InARow(1),
    };
    let (name, emotions) = emotions?;
    Some(SpeechCondition { role, name, emotions, min_score, threshold, part })
}

/// The name of the emotion or group, and its emotions.
fn emotions_of(
    diagnostics: &mut Diagnostics<'_>,
    table: &mut TableReader<'_>,
    groups: &Groups,
) -> Option<(String, Vec<Emotion>)> {
    let listed = emotions(diagnostics, table, "emotions");
    let emotion = table.text(diagnostics, "emotion");
    let group = table.text(diagnostics, "group");
    if let Some(Spanned { at, value }) = emotion {
        let emotion = known(diagnostics, at, &value)?;
        return Some((value, vec![emotion]));
    }
    if let Some(Spanned { at, value }) = group {
        let Some(emotions) = groups.get(&value) else {
            let names: Vec<_> = groups.keys().map(String::as_str).collect();
            diagnostics.error(at, format!("`{value}` is no group; the groups are {}", names.join(", ")));
            return None;
        };
        return Some((value, emotions.clone()));
    }
    let names: Vec<_> = listed.iter().map(|emotion| emotion.label()).collect();
    (!listed.is_empty()).then(|| (names.join("+"), listed))
}

/// A list of emotions, each once.
pub(super) fn emotions(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>, key: &str) -> Vec<Emotion> {
    let Some(list) = table.texts(diagnostics, key) else { return Vec::new() };
    let mut emotions = Vec::new();
    if list.value.is_empty() {
        diagnostics.error(list.at, format!("`{key}` must name at least one emotion"));
    }
    for Spanned { at, value } in list.value {
        match known(diagnostics, at, &value) {
            Some(emotion) if emotions.contains(&emotion) => diagnostics.error(at, format!("`{value}` is listed twice")),
            Some(emotion) => emotions.push(emotion),
            None => {}
        }
    }
    emotions
}

fn known(diagnostics: &mut Diagnostics<'_>, at: usize, name: &str) -> Option<Emotion> {
    let emotion = Emotion::from_label(name);
    if emotion.is_none() {
        let all: Vec<_> = Emotion::ALL.iter().map(|e| e.label()).collect();
        diagnostics.error(at, format!("`{name}` is no emotion; the emotions are {}", all.join(", ")));
    }
    emotion
}

fn part(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>) -> Option<CallPart> {
    let Spanned { at, value } = table.text(diagnostics, "third")?;
    match value.as_str() {
        "first" => Some(CallPart::FirstThird),
        "last" => Some(CallPart::LastThird),
        _ => {
            diagnostics.error(at, "`third` must be \"first\" or \"last\"");
            None
        }
    }
}

fn call_data(diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>, parts: &mut Vec<Condition>) {
    let mut push = |diagnostics: &mut Diagnostics<'_>, table: &mut TableReader<'_>, key: &str, field: CallField| {
        let Some(list) = table.texts(diagnostics, key) else { return };
        if list.value.is_empty() {
            diagnostics.error(list.at, format!("`{key}` must list at least one value"));
        }
        parts.push(Condition::CallData { field, values: list.value.into_iter().map(|v| v.value).collect() });
    };
    for (key, field) in [
        ("call_id", CallField::CallId),
        ("agent", CallField::Agent),
        ("team", CallField::Team),
        ("customer", CallField::Customer),
    ] {
        push(diagnostics, table, key, field);
    }
    let Some(mut attributes) = table.table(diagnostics, "attributes") else { return };
    for (name, _) in attributes.names() {
        let field = CallField::Attribute(name.clone());
        push(diagnostics, &mut attributes, &name, field);
    }
}
