//! Names and sources of batches, without what identifies a person: they outlive the calls.

use domain::BatchId;
use std::collections::HashSet;

use crate::source::looks_like_audio;

/// Digits from which on they may be a telephone number.
const MANY_DIGITS: usize = 7;

/// A path or prefix of keys whose parts that may identify a person are replaced by a hash of the whole. The name of a single
/// recording may, and so may many digits that are no date.
pub(crate) fn impersonal(path: &str) -> String {
    let hash = BatchId::from_name(path).to_string();
    let part = |part: &str| if is_personal(part) { format!("~{}", &hash[..8]) } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Longest name that is made of sources, bytes: names are indexed, and shown in a line.
const MOST_BYTES: usize = 200;

/// The parts, each once; of more than fit, the first, and a hash of all.
pub(crate) fn joined(parts: impl Iterator<Item = String>, by: &str) -> String {
    let mut once: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    once.extend(parts.filter(|part| seen.insert(part.clone())));
    let all = once.join(by);
    if all.len() <= MOST_BYTES {
        return all;
    }
    let hash = BatchId::from_name(&all).to_string();
    format!("{}...~{}", &all[..all.floor_char_boundary(MOST_BYTES - 16)], &hash[..8])
}

fn is_personal(part: &str) -> bool {
    // Random ids in hexadecimal have many digits, and are no numbers.
    let is_id = |word: &&str| {
        word.len() >= 16 && word.bytes().all(|b| b.is_ascii_hexdigit()) && !word.bytes().all(|b| b.is_ascii_digit())
    };
    let words = part.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !is_id(word));
    let digits: String = words.flat_map(str::chars).filter(char::is_ascii_digit).collect();
    part.contains('@') || looks_like_audio(part) || (digits.len() >= MANY_DIGITS && !is_dates(&digits))
}

/// Whether digits are one date after another, like 20261122, perhaps with a time behind.
fn is_dates(digits: &str) -> bool {
    let date = |date: &str| {
        let number =
            |range: std::ops::Range<usize>| date.get(range).and_then(|n| n.parse::<u32>().ok()).unwrap_or_default();
        (1990..2100).contains(&number(0..4)) && (1..=12).contains(&number(4..6)) && (1..=31).contains(&number(6..8))
    };
    let time = |time: &str| matches!(time.len(), 2 | 4 | 6) && time.get(..2).is_some_and(|hour| hour < "24");
    let mut rest = digits;
    while rest.len() >= 8 && date(&rest[..8]) {
        rest = &rest[8..];
    }
    rest.len() < digits.len() && (rest.is_empty() || time(rest))
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, impersonal, joined};

    #[test]
    fn prefixes_and_dates_stay_as_they_are() {
        for path in [
            "calls/2026/11",
            "calls/2026/11/22/",
            "calls",
            "night/20261122",
            "x/2026-11-22_2026-11-23",
            "a/20261122T1830",
        ] {
            assert_eq!(impersonal(path), path);
        }
    }

    #[test]
    fn many_sources_give_one_short_name() {
        let name = |sources: &[&str]| joined(sources.iter().map(|source| (*source).to_owned()), " + ");
        assert_eq!(name(&["calls/a", "calls/a", "calls/b", "calls/a"]), "calls/a + calls/b");
        let many: Vec<String> = (0..300).map(|n| format!("通话/folder{n}")).collect();
        let other: Vec<String> = (0..301).map(|n| format!("通话/folder{n}")).collect();
        let (first, second) = (joined(many.into_iter(), " + "), joined(other.into_iter(), " + "));
        assert!(first.len() <= MOST_BYTES && first.starts_with("通话/folder0 + 通话/folder1"), "{first}");
        assert_ne!(first, second);
    }

    #[test]
    fn what_may_identify_a_person_is_replaced() {
        for (path, kept) in [
            ("calls/13800138000", "calls/~"),
            ("calls/2026/138-0013-8000_in.wav", "calls/2026/~"),
            ("calls/2026/meier.wav", "calls/2026/~"),
            ("calls/meier@example.org/11", "calls/~"),
        ] {
            let name = impersonal(path);
            assert!(name.starts_with(kept), "{name}");
            for personal in ["13800138000", "8000", "meier"] {
                assert!(!name.contains(personal), "{name}");
            }
        }
        assert_ne!(impersonal("calls/13800138000"), impersonal("calls/13800138001"));
    }
}
