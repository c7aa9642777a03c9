//! The columns of a manifest.

use domain::{CallData, ChannelLayout, ObjectRef, Role};
use std::collections::{BTreeMap, BTreeSet};

use super::names::{Meaning, is_declared, meaning, visible};
use super::roles::misplaced_role;
use super::{BadLine, Entry, ManifestOptions};
use crate::sheet::Fields;

/// The entry of a line's fields, validated.
pub(super) fn entry(line: u64, fields: Fields, options: &ManifestOptions) -> Result<Entry, BadLine> {
    let wrong = |what: String| BadLine { line, what };
    let mut key = String::new();
    let mut call = CallData::default();
    let mut roles = BTreeMap::new();
    let (mut local_time, mut date_order, mut seen) = (false, None, BTreeSet::new());
    for (name, value) in fields {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        let text = || Some(value.to_owned());
        let names_something = |field| matches!(field, "key" | "call_id" | "agent" | "team" | "customer");
        match meaning(&name, &options.attributes).map_err(wrong)? {
            Meaning::Field(field) if !seen.insert(field) => return Err(wrong(format!("`{field}` is there twice"))),
            Meaning::Field(field) if names_something(field) && has_exponent(value) => {
                return Err(wrong(format!(
                    "`{field}` is `{value}`, a number that a program has shortened: write it as text, with all its digits"
                )));
            }
            Meaning::Field("key") => value.clone_into(&mut key),
            Meaning::Field("call_id") => call.call_id = text(),
            Meaning::Field("agent") => call.agent = text(),
            Meaning::Field("team") => call.team = text(),
            Meaning::Field("customer") => call.customer = text(),
            Meaning::Field(_) => {
                let read = options.dates.read(value).map_err(|e| wrong(format!("started_at {e}")))?;
                (local_time, date_order) = (read.local, read.order);
                call.started_at = Some(read.time);
            }
            Meaning::Channel(channel) => {
                let role =
                    Role::of_channel(&visible(value).to_lowercase()).map_err(|e| wrong(format!("{name}: {e}")))?;
                if roles.insert(channel, role).is_some() {
                    return Err(wrong(format!("channel {channel} is there twice")));
                }
            }
            Meaning::Attribute => {
                let declared = options.attributes.iter().any(|attribute| is_declared(attribute, &name));
                if let Some(refused) = misplaced_role(&name, value).filter(|_| !declared) {
                    return Err(wrong(refused));
                }
                let name = visible(&name);
                let earlier = call.attributes.insert(name.clone(), value.to_owned());
                if earlier.is_some_and(|earlier| earlier != value) {
                    return Err(wrong(format!("`{name}` is there twice, with two values")));
                }
            }
        }
    }
    if key.is_empty() {
        return Err(wrong("`key` is empty".into()));
    }
    domain::counted_from_zero(&roles).map_err(wrong)?;
    let channels = (!roles.is_empty()).then_some(ChannelLayout::Roles(roles));
    ObjectRef::validate_key(&key).and_then(|()| call.validate()).map_err(|failure| wrong(failure.message))?;
    Ok(Entry { line, key, call, channels, local_time, date_order, lines: 1, repeated: false })
}

/// `1.23457E+19`, as spreadsheets and JSON writers put it: the other digits are lost.
fn has_exponent(value: &str) -> bool {
    let Some((mantissa, exponent)) = value.split_once(['e', 'E']) else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    exponent.strip_prefix('+').is_some_and(digits) && mantissa.split(['.', ',']).all(digits)
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
            ("Started At", "2025-11-22T14:05:00+08:00"),
            ("channel_0", "Agent"),
            ("channel_1", "customer"),
            ("Produkt", "Strom"),
        ]);
        let entry = entry(7, line, &ManifestOptions::default()).expect("valid");
        assert_eq!((entry.line, entry.key.as_str()), (7, "2026/通话 1.wav"));
        assert_eq!((entry.call.call_id.as_deref(), entry.call.team.as_deref()), (Some("c1"), None));
        assert_eq!(entry.call.started_at.expect("set").to_rfc3339(), "2025-11-22T06:05:00+00:00");
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
            (fields(&[("key", "a"), ("channel_1", "agent"), ("channel_2", "customer")]), "counted from 0"),
            (fields(&[("key", "a"), ("stereo channel", "agent")]), "names no channel"),
            (fields(&[("key", "a"), ("channel_left", "agent")]), "channel_0"),
            (fields(&[("key", "a"), ("Call ID", "c"), ("call_id", "d")]), "twice"),
            (fields(&[("key", "a"), ("started_at", "26-11-22 14:05")]), "year 26"),
            (fields(&[("key", "a"), ("started_at", "yesterday")]), "yesterday"),
            (fields(&[("key", "a"), ("agent", "x\0y")]), "NUL"),
            (fields(&[("key", &long)]), "1025"),
            (fields(&[("key", "a"), ("call_id", "1.23457E+19")]), "all its digits"),
            (fields(&[("key", "a"), ("left", "agent"), ("right", "customer")]), "channel_0"),
            (fields(&[("key", "a"), ("agent_channel", "0")]), "`channel_0` with the value `agent`"),
            (fields(&[("key", "a"), ("vip", "yes"), ("vip", "no")]), "twice"),
        ] {
            let bad = entry(3, line, &ManifestOptions::default()).expect_err(said);
            assert!(bad.line == 3 && bad.what.contains(said), "{}", bad.what);
        }
    }
}
