//! The offset from UTC at the end of a time.

use chrono::FixedOffset;

use super::numeric::compact;

/// Takes a zone off the end: `Z`, `UTC`, `GMT`, `+08`, `+0800`, `+08:00`, and the name that Java adds in brackets.
pub(super) fn without_zone(text: &str) -> Result<(&str, Option<FixedOffset>), String> {
    let text = match text.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
        Some((before, _)) => before.trim_end(),
        None => text,
    };
    // `... 14:05:00 +0800 (CST)`.
    let text = match text.strip_suffix(')').and_then(|t| t.rsplit_once('(')) {
        Some((before, _)) => before.trim_end(),
        None => text,
    };
    // Go's `... +0800 CST m=+0.000027`: the name adds nothing to the offset.
    let text = text.rsplit_once(" m=").map_or(text, |(before, _)| before);
    let is_offset =
        |word: &str| word.len() == 5 && word.starts_with(['+', '-']) && word[1..].bytes().all(|b| b.is_ascii_digit());
    let text = match text.rsplit_once(' ') {
        Some((before, name))
            if name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'+' || b == b'-' || b.is_ascii_digit())
                && is_offset(before.rsplit(' ').next().unwrap_or_default())
                && before.contains(':')
                && !name.is_empty()
                && !name.bytes().all(|b| b.is_ascii_digit()) =>
        {
            before
        }
        _ => text,
    };
    let has_time =
        text.contains(':') || compact(text.split(['+', 'Z', 'z']).next().unwrap_or_default().trim()).is_some();
    let upper = text.to_ascii_uppercase();
    for (name, needs) in [("UTC", ' '), ("GMT", ' '), ("Z", '0')] {
        if let Some(before) = upper.strip_suffix(name)
            && has_time
            && before.ends_with(|c: char| c.is_ascii_digit() || c == needs || c == ' ')
        {
            return Ok((text[..before.len()].trim_end(), FixedOffset::east_opt(0)));
        }
    }
    if let Some(at) = text.rfind(['+', '-']).filter(|at| has_time && *at > 8) {
        let digits = text[at + 1..].replace(':', "");
        let before = text[..at].trim_end();
        let before = before.strip_suffix("UTC").or_else(|| before.strip_suffix("GMT")).unwrap_or(before).trim_end();
        // In `14:05 22-11-2025` the last sign is that of a date.
        let behind = |before: &str| before.rsplit(' ').next().is_some_and(|word| word.contains(':'));
        let apart = text[..at].ends_with(' ') || text[at..].starts_with('+');
        let after_time = before.contains(':') && (apart || behind(before)) || compact(before).is_some();
        let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if numeric && after_time && digits.len() <= 4 {
            let number = digits.parse::<i32>().unwrap_or_default();
            let (hours, minutes) = if digits.len() <= 2 { (number, 0) } else { (number / 100, number % 100) };
            let seconds = (hours * 60 + minutes) * 60;
            let sign = if text[at..].starts_with('-') { -1 } else { 1 };
            let offset = FixedOffset::east_opt(sign * seconds).filter(|_| hours <= 14 && minutes < 60);
            return offset
                .map(|o| (before, Some(o)))
                .ok_or_else(|| format!("has no offset from UTC in `{}`", &text[at..]));
        }
    }
    let last = text.rsplit(' ').next().unwrap_or_default();
    if has_time
        && matches!(
            last,
            "CST"
                | "CET"
                | "CEST"
                | "EST"
                | "EDT"
                | "PST"
                | "PDT"
                | "MST"
                | "MDT"
                | "CDT"
                | "BST"
                | "IST"
                | "JST"
                | "MEZ"
                | "MESZ"
                | "HKT"
                | "SGT"
        )
    {
        return Err(format!("names its zone {last}, which is more than one: write an offset like +08:00"));
    }
    Ok((text, None))
}
