//! The columns of a manifest.

use domain::{CallData, ChannelLayout, ObjectRef, Role};
use std::collections::BTreeMap;

use super::{BadLine, Entry};
use crate::sheet::Fields;
use crate::times::time;

/// The entry of a line's fields, validated.
pub(super) fn entry(line: u64, fields: Fields) -> Result<Entry, BadLine> {
    let wrong = |what: String| BadLine { line, what };
    let mut key = String::new();
    let mut call = CallData::default();
    let mut roles = BTreeMap::new();
    for (name, value) in fields {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        let text = || Some(value.to_owned());
        let lower = name.to_lowercase();
        match lower.as_str() {
            "key" => value.clone_into(&mut key),
            "call_id" => call.call_id = text(),
            "agent" => call.agent = text(),
            "team" => call.team = text(),
            "customer" => call.customer = text(),
            "started_at" => call.started_at = Some(time(value).map_err(|e| wrong(format!("started_at {e}")))?),
            _ => match lower.strip_prefix("channel_").map(str::parse::<u16>) {
                Some(Ok(channel)) => {
                    roles.insert(channel, Role::of_channel(value).map_err(|e| wrong(format!("{name}: {e}")))?);
                }
                _ => {
                    call.attributes.insert(name, value.to_owned());
                }
            },
        }
    }
    if key.is_empty() {
        return Err(wrong("`key` is empty".into()));
    }
    let channels = (!roles.is_empty()).then_some(ChannelLayout::Roles(roles));
    ObjectRef::validate_key(&key).and_then(|()| call.validate()).map_err(|failure| wrong(failure.message))?;
    Ok(Entry { line, key, call, channels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Role;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn known_columns_are_typed_and_the_others_are_attributes() {
        let line = fields(&[
            ("Key", " 2026/通话 1.wav "),
            ("call_id", "c1"),
            ("agent", "a7"),
            ("team", ""),
            ("started_at", "2026-11-22T14:05:00+08:00"),
            ("channel_0", "Agent"),
            ("channel_1", "customer"),
            ("Produkt", "Strom"),
        ]);
        let entry = entry(7, line).expect("valid");
        assert_eq!((entry.line, entry.key.as_str()), (7, "2026/通话 1.wav"));
        assert_eq!((entry.call.call_id.as_deref(), entry.call.team.as_deref()), (Some("c1"), None));
        assert_eq!(entry.call.started_at.expect("set").to_rfc3339(), "2026-11-22T06:05:00+00:00");
        assert_eq!(entry.call.attributes, BTreeMap::from([("Produkt".to_owned(), "Strom".to_owned())]));
        let roles = BTreeMap::from([(0, Role::Agent), (1, Role::Customer)]);
        assert_eq!(entry.channels, Some(ChannelLayout::Roles(roles)));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        let long = "x".repeat(1025);
        for (line, said) in [
            (fields(&[("key", " ")]), "key"),
            (fields(&[("key", "a"), ("channel_0", "boss")]), "boss"),
            (fields(&[("key", "a"), ("started_at", "yesterday")]), "yesterday"),
            (fields(&[("key", "a"), ("agent", "x\0y")]), "NUL"),
            (fields(&[("key", &long)]), "1025"),
        ] {
            let bad = entry(3, line).expect_err(said);
            assert!(bad.line == 3 && bad.what.contains(said), "{}", bad.what);
        }
    }
}
