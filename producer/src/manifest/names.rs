//! Names of columns: known ones in any spelling; what only resembles a known one is refused with a suggestion.

use strsim::damerau_levenshtein;

/// The known columns besides `channel_N`.
pub(super) const KNOWN: [&str; 6] = ["key", "call_id", "agent", "team", "customer", "started_at"];

/// Words that people use for a time or a key, and which stay attributes.
const RELATED: [(&str, &str); 16] = [
    ("date", "started_at"),
    ("calldate", "started_at"),
    ("calltime", "started_at"),
    ("datetime", "started_at"),
    ("timestamp", "started_at"),
    ("starttime", "started_at"),
    ("startdate", "started_at"),
    ("begin", "started_at"),
    ("begintime", "started_at"),
    ("start", "started_at"),
    ("时间", "started_at"),
    ("开始时间", "started_at"),
    ("通话时间", "started_at"),
    ("客服", "agent"),
    ("客户", "customer"),
    ("通话编号", "call_id"),
];

/// What a column means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// One of [`KNOWN`].
    Field(&'static str),
    /// The role of a channel, from 0.
    Channel(u16),
    /// An attribute of the call.
    Attribute,
}

/// What the column of this name means. `attributes` are names that the user declared to be attributes.
///
/// # Errors
/// It resembles a known column: what to write instead.
pub(super) fn meaning(name: &str, attributes: &[String]) -> Result<Meaning, String> {
    if attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(name.trim())) {
        return Ok(Meaning::Attribute);
    }
    let letters = letters(name);
    if let Some(known) = KNOWN.into_iter().find(|known| known.replace('_', "") == letters) {
        return Ok(Meaning::Field(known));
    }
    if let Some(rest) = letters.strip_prefix("channels").or_else(|| letters.strip_prefix("channel")) {
        return channel(name, rest);
    }
    let near = KNOWN.into_iter().find(|known| {
        let (known, plural) = (known.replace('_', ""), format!("{}s", known.replace('_', "")));
        let allowed = match known.len() {
            0..=4 => 0,
            5..=7 => 1,
            _ => 2,
        };
        letters == plural || (letters.is_ascii() && damerau_levenshtein(&letters, &known) <= allowed)
    });
    match near {
        Some(near) => Err(format!(
            "column `{name}` is not known: is it `{near}`? If it is an attribute, say --attribute \"{name}\""
        )),
        None => Ok(Meaning::Attribute),
    }
}

fn channel(name: &str, rest: &str) -> Result<Meaning, String> {
    if let Ok(number) = rest.parse() {
        return Ok(Meaning::Channel(number));
    }
    let number = match rest {
        "left" | "l" | "a" | "zero" | "first" => "channel_0",
        "right" | "r" | "b" | "second" => "channel_1",
        "one" | "two" | "n" | "x" | "role" | "roles" | "agent" | "customer" => "channel_0, channel_1, ...",
        // A call centre's channel (telephone, web) is an attribute.
        _ => return Ok(Meaning::Attribute),
    };
    Err(format!(
        "column `{name}` is not known: channels are counted from 0, so is it `{number}`? If it is an attribute, say --attribute \"{name}\""
    ))
}

/// The known column that an attribute of this name may have been meant for.
pub(super) fn related(name: &str) -> Option<&'static str> {
    let letters = letters(name);
    RELATED.iter().find(|(word, _)| *word == letters).map(|(_, known)| *known)
}

/// Letters and digits in lower case; full-width ones as ASCII.
pub(super) fn letters(name: &str) -> String {
    let ascii = name.chars().map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    });
    ascii.filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_known_column_is_that_column() {
        for (name, field) in [
            ("Call ID", "call_id"),
            ("callId", "call_id"),
            ("CALL-ID", "call_id"),
            ("call.id", "call_id"),
            ("Started At", "started_at"),
            ("startedAt", "started_at"),
            (" Key ", "key"),
            ("ｋｅｙ", "key"),
            ("Agent", "agent"),
        ] {
            assert_eq!(meaning(name, &[]), Ok(Meaning::Field(field)), "{name}");
        }
        for name in ["channel_1", "channel-1", "Channel 1", "channel1", "CHANNEL_1", "channel_01"] {
            assert_eq!(meaning(name, &[]), Ok(Meaning::Channel(1)), "{name}");
        }
    }

    #[test]
    fn near_misses_are_refused_with_a_suggestion() {
        for (name, said) in [
            ("channel_left", "channel_0"),
            ("channel-right", "channel_1"),
            ("Channel L", "channel_0"),
            ("call_ids", "call_id"),
            ("started", "started_at"),
            ("costumer", "customer"),
            ("agents", "agent"),
            ("agnet", "agent"),
            ("keys", "key"),
            ("teams", "team"),
            ("started_on", "started_at"),
        ] {
            let refused = meaning(name, &[]).expect_err(name);
            assert!(refused.contains(said) && refused.contains("--attribute"), "{refused}");
            assert_eq!(meaning(name, &[name.to_uppercase()]), Ok(Meaning::Attribute));
        }
        for name in
            ["Produkt", "channel", "channel_type", "term", "age", "agency", "vip", "通话类型", "date", "text", "store"]
        {
            assert_eq!(meaning(name, &[]), Ok(Meaning::Attribute), "{name}");
        }
        assert_eq!((related("Call Date"), related("vip")), (Some("started_at"), None));
    }
}
