//! Names of columns: known ones in any spelling; what only resembles a known one is refused with a suggestion.

use strsim::damerau_levenshtein;

use super::roles::misspelt_column;

/// The known columns besides `channel_N`.
pub(super) const KNOWN: [&str; 6] = ["key", "call_id", "agent", "team", "customer", "started_at"];

/// Words that people use for a time or a key, and which stay attributes.
const RELATED: [(&str, &str); 26] = [
    ("agentid", "agent"),
    ("agentname", "agent"),
    ("agentno", "agent"),
    ("teamid", "team"),
    ("teamname", "team"),
    ("customerid", "customer"),
    ("customername", "customer"),
    ("customerno", "customer"),
    ("callnumber", "call_id"),
    ("callno", "call_id"),
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
    if attributes.iter().any(|attribute| is_declared(attribute, name)) {
        return Ok(Meaning::Attribute);
    }
    let letters = letters(name);
    if let Some(known) = KNOWN.into_iter().find(|known| known.replace('_', "") == letters) {
        return Ok(Meaning::Field(known));
    }
    if let Some(rest) = letters.strip_prefix("channels").or_else(|| letters.strip_prefix("channel")) {
        return channel(name, rest);
    }
    if let Some(refused) = misspelt_column(name) {
        return Err(refused);
    }
    let near = KNOWN.into_iter().find(|known| is_near(&letters, known));
    match near {
        Some(near) => Err(format!(
            "column `{name}` is not known: is it `{near}`? If it is an attribute, say --attribute \"{name}\""
        )),
        None => Ok(Meaning::Attribute),
    }
}

/// Whether `letters` are a known column's with a slip.
fn is_near(letters: &str, known: &str) -> bool {
    let known = known.replace('_', "");
    if letters == format!("{known}s") {
        return true;
    }
    if !letters.is_ascii() {
        return false;
    }
    match known.len() {
        0..=4 => is_slip(letters.as_bytes(), known.as_bytes()),
        5..=7 => damerau_levenshtein(letters, &known) <= 1,
        _ => damerau_levenshtein(letters, &known) <= 2,
    }
}

/// Whether a short word has two letters exchanged, one doubled, or another vowel. Anything else, like `term` for `team`,
/// may be a word of its own.
fn is_slip(letters: &[u8], known: &[u8]) -> bool {
    let is_vowel = |letter: u8| b"aeiou".contains(&letter);
    let differing: Vec<usize> =
        (0..known.len()).filter(|at| letters.len() == known.len() && letters[*at] != known[*at]).collect();
    match differing[..] {
        [at] => is_vowel(letters[at]) && is_vowel(known[at]),
        [at, next] => next == at + 1 && letters[at] == known[next] && letters[next] == known[at],
        _ => (0..known.len()).any(|at| [&known[..=at], &known[at..]].concat() == letters),
    }
}

/// Whether the user declared this column to be an attribute.
pub(super) fn is_declared(attribute: &str, name: &str) -> bool {
    visible(attribute).to_lowercase() == visible(name).to_lowercase()
}

/// A text without characters that take no place: what nobody sees is no part of a name.
pub(super) fn visible(text: &str) -> String {
    let invisible = |c: &char| {
        matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
    };
    text.chars().filter(|c| !invisible(c)).collect::<String>().trim().to_owned()
}

fn channel(name: &str, rest: &str) -> Result<Meaning, String> {
    if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) {
        // `channel_0.1` and `channel_-1` are no numbers of channels, though their letters and digits look so.
        let digits = name.split(|c: char| !c.is_numeric()).filter(|run| !run.is_empty()).count();
        let negative = name.contains("_-") || name.contains(" -") || name.contains("--") || name.contains('\u{2212}');
        return match rest.parse() {
            Ok(number) if digits == 1 && !negative => Ok(Meaning::Channel(number)),
            _ => Err(format!(
                "column `{name}` names no channel: they are numbered from 0 to {}, like `channel_0`. If it is an attribute, say --attribute \"{name}\"",
                u16::MAX
            )),
        };
    }
    let number = match rest {
        "left" | "l" | "a" | "zero" | "first" | "o" | "links" | "左" => "channel_0",
        "right" | "r" | "b" | "second" | "i" | "rechts" | "右" => "channel_1",
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
            ("taem", "team"),
            ("tema", "team"),
            ("teem", "team"),
            ("teamm", "team"),
            ("channel_99999", "channel_0"),
            ("channel_0.1", "channel_0"),
            ("channel_-1", "channel_0"),
        ] {
            let refused = meaning(name, &[]).expect_err(name);
            assert!(refused.contains(said) && refused.contains("--attribute"), "{refused}");
            assert_eq!(meaning(name, &[name.to_uppercase()]), Ok(Meaning::Attribute));
        }
        for name in [
            "Produkt",
            "channel",
            "channel_type",
            "term",
            "age",
            "agency",
            "vip",
            "通话类型",
            "date",
            "text",
            "store",
            "tea",
            "steam",
        ] {
            assert_eq!(meaning(name, &[]), Ok(Meaning::Attribute), "{name}");
        }
        assert_eq!(
            (related("Call Date"), related("agent_id"), related("vip")),
            (Some("started_at"), Some("agent"), None)
        );
        assert_eq!(meaning("team\u{200b}", &[]), Ok(Meaning::Field("team")));
        assert_eq!(visible("\u{feff}Pro\u{200b}dukt "), "Produkt");
    }
}
