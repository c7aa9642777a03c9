//! Conditions: one table each; several things said in one table must all hold.

use super::Groups;
use super::keys::{Keys, Placed};
use super::sheet::Sheet;
use domain::alert::{Condition, DataField, Extent, Heard, Third};
use domain::{Emotion, Role};

/// Tables within tables. Deeper than this is an accident, and reading recurses.
const DEEPEST: u32 = 16;

/// Keys that only make sense with an emotion or a group.
const OF_SPEECH: [&str; 5] = ["score", "in_a_row", "share", "shift", "third"];

/// What a table asks for; `None` when nothing usable is in it, of which a fault then tells.
pub(super) fn read(sheet: &mut Sheet, keys: &mut Keys<'_>, groups: &Groups, depth: u32) -> Option<Condition> {
    if depth > DEEPEST {
        sheet.fault(keys.at, format!("conditions are nested deeper than {DEEPEST}"));
        return None;
    }
    let mut parts = Vec::new();
    let role = role(sheet, keys);
    let heard = heard(sheet, keys, role, groups);
    let spoke = keys.duration(sheet, "min_speech");
    let role_alone = role.is_some() && heard.is_none() && spoke.is_none();
    if role_alone && !keys.has("emotion") && !keys.has("emotions") && !keys.has("group") && !keys.has("min_speech") {
        sheet.fault(keys.at, "`role` says who; what is asked of them is missing: emotion, group or min_speech");
    }
    parts.extend(heard.map(Condition::Heard));
    parts.extend(spoke.map(|time| Condition::MinSpeech { role, seconds: time.as_secs_f64() }));
    data(sheet, keys, &mut parts);
    for (key, join) in [("all", Condition::All as fn(_) -> _), ("any", Condition::Any)] {
        let tables = keys.tables(sheet, key);
        if keys.has(key) && tables.is_empty() {
            sheet.fault(keys.at, format!("`{key}` must list at least one condition"));
        }
        if keys.has(key) {
            let inner = tables.into_iter().filter_map(|mut table| read(sheet, &mut table, groups, depth + 1));
            parts.push(join(inner.collect()));
        }
    }
    if let Some(mut table) = keys.table(sheet, "not") {
        parts.extend(read(sheet, &mut table, groups, depth + 1).map(|part| Condition::Not(Box::new(part))));
    }
    if keys.names().is_empty() {
        sheet.fault(keys.at, "an empty condition would hold of every call; say what must hold");
    }
    keys.end(sheet);
    if parts.len() > 1 { Some(Condition::All(parts)) } else { parts.pop() }
}

fn role(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Option<Role> {
    let Placed { at, value } = keys.text(sheet, "role")?;
    let role = Role::from_label(&value);
    if role.is_none() {
        sheet.fault(at, format!("`{value}` is no role; the roles are customer, agent, speaker, mixed"));
    }
    role
}

fn heard(sheet: &mut Sheet, keys: &mut Keys<'_>, role: Option<Role>, groups: &Groups) -> Option<Heard> {
    let named = ["emotion", "emotions", "group"].into_iter().filter(|key| keys.has(key)).count();
    if named > 1 {
        sheet.fault(keys.at, "say one of `emotion`, `emotions` and `group`; join several by all or any");
    }
    let what = which(sheet, keys, groups);
    let score = keys.number(sheet, "score", 0.0..=1.0).map(|score| score.value);
    let in_a_row = keys.count(sheet, "in_a_row", 1..=1000);
    let share = keys.number(sheet, "share", 0.0..=1.0);
    let shift = keys.number(sheet, "shift", 0.0..=1.0);
    let third = third(sheet, keys);
    if named == 0 {
        if let Some(key) = OF_SPEECH.into_iter().find(|key| keys.has(key)) {
            sheet.fault(keys.at, format!("`{key}` needs an emotion: say `emotion`, `emotions` or `group` too"));
        }
        return None;
    }
    if [in_a_row.is_some(), share.is_some(), shift.is_some()].into_iter().filter(|said| *said).count() > 1 {
        sheet.fault(keys.at, "say one of `in_a_row`, `share` and `shift`; join several by all");
    }
    if let (Some(shift), true) = (&shift, third.is_some()) {
        sheet.fault(shift.at, "`shift` compares the first third with the last: it takes no `third`");
    }
    let extent = match (in_a_row, share, shift) {
        (Some(least), _, _) => Extent::InARow(least.value),
        (_, Some(least), _) => Extent::Share(least.value),
        (_, _, Some(least)) => Extent::Shift(least.value),
        (None, None, None) => Extent::InARow(1),
    };
    let (name, emotions) = what?;
    Some(Heard { role, name, emotions, score, extent, third })
}

fn which(sheet: &mut Sheet, keys: &mut Keys<'_>, groups: &Groups) -> Option<(String, Vec<Emotion>)> {
    let listed = emotions(sheet, keys, "emotions");
    let emotion = keys.text(sheet, "emotion");
    let group = keys.text(sheet, "group");
    if let Some(Placed { at, value }) = emotion {
        let emotion = known(sheet, at, &value)?;
        return Some((value, vec![emotion]));
    }
    if let Some(Placed { at, value }) = group {
        let Some(emotions) = groups.get(&value) else {
            let names: Vec<_> = groups.keys().map(String::as_str).collect();
            sheet.fault(at, format!("`{value}` is no group; the groups are {}", names.join(", ")));
            return None;
        };
        return Some((value, emotions.clone()));
    }
    let names: Vec<_> = listed.iter().map(|emotion| emotion.label()).collect();
    (!listed.is_empty()).then(|| (names.join("+"), listed))
}

/// A list of emotions, each once.
pub(super) fn emotions(sheet: &mut Sheet, keys: &mut Keys<'_>, key: &str) -> Vec<Emotion> {
    let Some(list) = keys.texts(sheet, key) else { return Vec::new() };
    let mut emotions = Vec::new();
    if list.value.is_empty() {
        sheet.fault(list.at, format!("`{key}` must name at least one emotion"));
    }
    for Placed { at, value } in list.value {
        match known(sheet, at, &value) {
            Some(emotion) if emotions.contains(&emotion) => sheet.fault(at, format!("`{value}` is listed twice")),
            Some(emotion) => emotions.push(emotion),
            None => {}
        }
    }
    emotions
}

fn known(sheet: &mut Sheet, at: usize, name: &str) -> Option<Emotion> {
    let emotion = Emotion::from_label(name);
    if emotion.is_none() {
        let all: Vec<_> = Emotion::ALL.iter().map(|e| e.label()).collect();
        sheet.fault(at, format!("`{name}` is no emotion; the emotions are {}", all.join(", ")));
    }
    emotion
}

fn third(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Option<Third> {
    let Placed { at, value } = keys.text(sheet, "third")?;
    match value.as_str() {
        "first" => Some(Third::First),
        "last" => Some(Third::Last),
        _ => {
            sheet.fault(at, "`third` must be \"first\" or \"last\"");
            None
        }
    }
}

fn data(sheet: &mut Sheet, keys: &mut Keys<'_>, parts: &mut Vec<Condition>) {
    let mut push = |sheet: &mut Sheet, keys: &mut Keys<'_>, key: &str, field: DataField| {
        let Some(list) = keys.texts(sheet, key) else { return };
        if list.value.is_empty() {
            sheet.fault(list.at, format!("`{key}` must list at least one value"));
        }
        parts.push(Condition::Data { field, values: list.value.into_iter().map(|v| v.value).collect() });
    };
    for (key, field) in [
        ("call_id", DataField::CallId),
        ("agent", DataField::Agent),
        ("team", DataField::Team),
        ("customer", DataField::Customer),
    ] {
        push(sheet, keys, key, field);
    }
    let Some(mut attributes) = keys.table(sheet, "attributes") else { return };
    for (name, _) in attributes.names() {
        let field = DataField::Attribute(name.clone());
        push(sheet, &mut attributes, &name, field);
    }
}
