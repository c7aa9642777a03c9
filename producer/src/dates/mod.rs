//! Times as people and their tools write them. What could mean two days, or no call's day, is refused, never guessed.

use chrono::{DateTime, Datelike, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono::{TimeZone, Timelike};
use chrono_tz::Tz;

/// No call was recorded digitally before: an earlier date is a clock that was never set, or a wrong unit.
const EARLIEST_YEAR: i32 = 1990;

/// How 11/12/2026 is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DateOrder {
    /// Day first: 11 December is 11/12/2026.
    Dmy,
    /// Month first: 11 December is 12/11/2026.
    Mdy,
}

/// How times are read that leave something open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dates {
    /// Zone of times that name none; UTC without.
    pub(crate) zone: Option<Tz>,
    /// Order of day and month, where both are possible.
    pub(crate) order: Option<DateOrder>,
}

/// A time that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) time: DateTime<Utc>,
    /// It named no zone.
    pub(crate) local: bool,
}

/// A time zone of the IANA database, as `--timezone` takes it.
pub(crate) fn zone(text: &str) -> Result<Tz, String> {
    Tz::from_str_insensitive(text)
        .map_err(|_| format!("`{text}` is no time zone like Asia/Shanghai, Europe/Berlin or UTC"))
}

/// A time, or why it is none; without a zone, UTC.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    Dates::default().read(text).map(|read| read.time)
}

impl Dates {
    /// Reads a time.
    ///
    /// # Errors
    /// What is wrong with it, as a part of a sentence that begins with the text.
    pub(crate) fn read(self, text: &str) -> Result<Read, String> {
        let wrong = |why: String| format!("`{}` {why}", text.trim());
        let plain = plain(text);
        let read = self.parse(&plain).map_err(wrong)?;
        plausible(read.time, Utc::now()).map_err(wrong)?;
        Ok(read)
    }

    fn parse(self, text: &str) -> Result<Read, String> {
        if let Some(time) = unix(text)? {
            return Ok(Read { time, local: false });
        }
        let (text, offset) = without_zone(text)?;
        let when = self.naive(text.trim())?;
        let two = |a: String| format!("{a} in that time zone, when the clocks change: add an offset like +02:00");
        let resolved = match (offset, self.zone) {
            (Some(offset), _) => offset.from_local_datetime(&when).single().map(|t| t.to_utc()),
            (None, None) => Some(when.and_utc()),
            (None, Some(zone)) => match zone.from_local_datetime(&when) {
                LocalResult::Single(time) => Some(time.to_utc()),
                LocalResult::Ambiguous(..) => return Err(two("happens twice".into())),
                LocalResult::None => return Err(two("does not exist".into())),
            },
        };
        let time = resolved.ok_or("is out of range")?;
        Ok(Read { time, local: offset.is_none() })
    }

    /// Date and time of day.
    fn naive(self, text: &str) -> Result<NaiveDateTime, String> {
        if let Some(time) = compact(text) {
            return Ok(time);
        }
        // A colon behind a year separates date and time, in logs of web servers.
        let of_clock = |at: &usize| text[..*at].bytes().rev().take_while(u8::is_ascii_digit).count() <= 2;
        let Some(colon) = text.match_indices(':').map(|(at, _)| at).find(of_clock) else {
            return Ok(self.date(text)?.and_time(NaiveTime::MIN));
        };
        let begin = text[..colon].trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let end = colon
            + text[colon..].find(|c: char| !c.is_ascii_digit() && !":.,".contains(c)).unwrap_or(text.len() - colon);
        let (mut time, behind) = (text[begin..end].to_owned(), &text[end..]);
        // `Sun Nov 22 14:05:00 2026`, and punctuation.
        while time.ends_with([',', '.', ':']) {
            time.pop();
        }
        let before = text[..begin].trim_end_matches(['T', 't', ':', ',']);
        let (date, half) = half_of_day(&format!("{before} {behind}"));
        Ok(self.date(&date)?.and_time(time_of_day(&time, half)?))
    }

    fn date(self, text: &str) -> Result<NaiveDate, String> {
        const EXPECTED: &str = "is not a time like 2026-11-22T14:05:00+08:00";
        let separators = |c: char| c.is_whitespace() || "-/.,年月日".contains(c);
        let (mut numbers, mut month) = (Vec::new(), None);
        for part in text.split(separators).filter(|part| !part.is_empty()) {
            if part.bytes().all(|b| b.is_ascii_digit()) && part.len() <= 9 {
                numbers.push(part);
            } else if let Some(found) = month_named(part) {
                if month.replace(found).is_some() {
                    return Err(EXPECTED.into());
                }
            } else if !is_weekday(part) {
                return Err(EXPECTED.into());
            }
        }
        let value = |part: &str| part.parse::<u32>().unwrap_or(u32::MAX);
        let year_at = |at: usize| numbers.get(at).is_some_and(|part| part.len() >= 3);
        let short = |part: &str| format!("has the year {part} with two digits: write all four");
        let (year, month, day) = match (numbers.as_slice(), month) {
            ([year, day], Some(month)) if year_at(0) => (year, month, value(day)),
            ([day, year], Some(month)) if year_at(1) => (year, month, value(day)),
            ([_, year], Some(_)) => return Err(short(year)),
            ([year, month, day], None) if year_at(0) => (year, value(month), value(day)),
            ([first, second, year], None) if year_at(2) => {
                let dots = text.contains('.');
                let (month, day) = self.ordered(value(first), value(second), dots)?;
                (year, month, day)
            }
            ([first, _, last], None) => {
                let first_is_year = text.contains('年') || text.contains('-');
                return Err(short(if first_is_year { first } else { last }));
            }
            _ => return Err(EXPECTED.into()),
        };
        let year = i32::try_from(value(year)).unwrap_or(i32::MAX);
        NaiveDate::from_ymd_opt(year, month, day)
            .ok_or_else(|| format!("is no day of the calendar (year {year}, month {month}, day {day})"))
    }

    /// Month and day. With dots the day is first, everywhere.
    fn ordered(self, first: u32, second: u32, dots: bool) -> Result<(u32, u32), String> {
        match self.order {
            _ if dots || first > 12 => Ok((second, first)),
            _ if second > 12 || first == second => Ok((first, second)),
            Some(DateOrder::Dmy) => Ok((second, first)),
            Some(DateOrder::Mdy) => Ok((first, second)),
            None => Err(format!(
                "may be day {first} of month {second} or day {second} of month {first}: write the year first, or say --date-order dmy or mdy"
            )),
        }
    }
}

/// Full-width characters as ASCII, any space as a plain one, and the words of Chinese clocks as colons.
fn plain(text: &str) -> String {
    let ascii = text.trim().trim_start_matches('\u{feff}').chars().map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '时' | '時' | '点' | '點' | '分' => ':',
        '\u{2212}' | '\u{2013}' => '-',
        c if c.is_whitespace() => ' ',
        c => c,
    });
    let text: String = ascii.filter(|c| !matches!(c, '秒' | '\u{200e}' | '\u{200f}')).collect();
    text.trim_end_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Seconds, milli-, micro- or nanoseconds since 1970.
fn unix(text: &str) -> Result<Option<DateTime<Utc>>, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Ok(None);
    }
    let number: i64 = whole.parse().map_err(|_| "is no time: it has too many digits")?;
    let time = match whole.len() {
        10 => DateTime::from_timestamp(number, 0).map(|t| t + TimeDelta::milliseconds(thousandths(fraction))),
        13 => DateTime::from_timestamp_millis(number),
        16 => DateTime::from_timestamp_micros(number),
        19 => Some(DateTime::from_timestamp_nanos(number)),
        8 | 12 | 14 => return Ok(None),
        1 if number == 0 => return Err("is no call's time: it is the zero of Unix time".into()),
        5 => {
            return Err(
                "may be a serial number of a spreadsheet: format the column as a date, or save it as XLSX".into()
            );
        }
        _ => return Err("is a number, but neither a date like 20261122 nor a Unix time in s or ms".into()),
    };
    time.map(Some).ok_or_else(|| "is out of range".into())
}

fn thousandths(fraction: &str) -> i64 {
    format!("{fraction:0<3}")[..3].parse().unwrap_or(0)
}

/// `20261122`, `20261122140500`, `20261122T1405`.
fn compact(text: &str) -> Option<NaiveDateTime> {
    let (stamp, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let digits: String = stamp.chars().filter(|c| !matches!(c, 'T' | 't' | ' ')).collect();
    let begins = stamp.len() >= 8 && stamp.as_bytes()[..8].iter().all(u8::is_ascii_digit);
    let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !begins || !numeric(&digits) || !numeric(fraction) || stamp.len() > digits.len() + 1 {
        return None;
    }
    let rest = match digits.len() {
        8 => "000000",
        12 => "00",
        14 => "",
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&format!("{digits}{rest}"), "%Y%m%d%H%M%S").ok()?;
    Some(time + TimeDelta::milliseconds(thousandths(fraction)))
}

/// Takes a zone off the end: `Z`, `UTC`, `GMT`, `+08`, `+0800`, `+08:00`, and the name that Java adds in brackets.
fn without_zone(text: &str) -> Result<(&str, Option<FixedOffset>), String> {
    let text = match text.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
        Some((before, _)) => before.trim_end(),
        None => text,
    };
    // `... 14:05:00 +0800 (CST)`.
    let text = match text.strip_suffix(')').and_then(|t| t.rsplit_once('(')) {
        Some((before, _)) => before.trim_end(),
        None => text,
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
        let after_time = before.contains(':') || compact(before).is_some();
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

/// Which half of the day, and the text without that word.
fn half_of_day(text: &str) -> (String, Option<bool>) {
    let words = [
        ("上午", false),
        ("凌晨", false),
        ("早上", false),
        ("下午", true),
        ("晚上", true),
        ("中午", true),
        ("a.m.", false),
        ("p.m.", true),
        ("am", false),
        ("pm", true),
    ];
    let lower = text.to_ascii_lowercase();
    for (word, afternoon) in words {
        if let Some(at) = lower.find(word) {
            let (before, behind) = (&text[..at], &text[at + word.len()..]);
            let letter = |c: char| c.is_ascii_alphabetic();
            if word.is_ascii() && (before.ends_with(letter) || behind.starts_with(letter)) {
                continue;
            }
            return (format!("{before} {behind}"), Some(afternoon));
        }
    }
    (text.to_owned(), None)
}

/// `14:05`, `2:05:09.25`; with a half of the day, hours to 12.
fn time_of_day(text: &str, afternoon: Option<bool>) -> Result<NaiveTime, String> {
    let none = || format!("has no time of day in `{text}`");
    let (clock, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let number = |part: &&str| part.parse::<u32>().ok().filter(|_| part.len() <= 2);
    let numbers: Vec<u32> = parts.iter().map(number).collect::<Option<_>>().ok_or_else(none)?;
    let (hour, minute, second) = match numbers.as_slice() {
        [hour] => (*hour, 0, 0),
        [hour, minute] => (*hour, *minute, 0),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return Err(none()),
    };
    let hour = match afternoon {
        Some(false) if hour > 12 => return Err(none()),
        Some(false) if hour == 12 => 0,
        Some(true) if hour < 12 => hour + 12,
        _ => hour,
    };
    let nanos = format!("{:0<9}", fraction.chars().take(9).collect::<String>()).parse().map_err(|_| none())?;
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos).ok_or_else(none)
}

fn month_named(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let lower = word.to_lowercase();
    let german = match lower.as_str() {
        "januar" => "january",
        "februar" => "february",
        "märz" | "mär" | "mrz" => "march",
        "mai" => "may",
        "juni" => "june",
        "juli" => "july",
        "oktober" | "okt" => "october",
        "dezember" | "dez" => "december",
        other => other,
    };
    let full = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let found = full
        .iter()
        .zip(MONTHS)
        .position(|(full, short)| german == *full || german == short || (german == "sept" && short == "sep"));
    found.map(|at| at as u32 + 1)
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 23] = [
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
        "sat",
        "sun",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "mo",
        "di",
        "mi",
        "do",
        "fr",
        "sa",
        "so",
        "tues",
        "thurs",
    ];
    let chinese = word.strip_prefix("星期").or_else(|| word.strip_prefix('周'));
    DAYS.contains(&word.to_lowercase().as_str())
        || chinese.is_some_and(|day| "一二三四五六日天".contains(day) && !day.is_empty())
}

/// Refuses what is no call's time.
fn plausible(time: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), String> {
    let year = time.year();
    if year < EARLIEST_YEAR {
        let zero =
            (year, time.month(), time.day()) == (1970, 1, 1) || time.num_seconds_from_midnight() == 0 && year <= 1;
        let why = if zero { ", a clock that was never set" } else { "" };
        return Err(format!("is in the year {year}{why}: no call was recorded before {EARLIEST_YEAR}"));
    }
    if time > now + TimeDelta::days(1) {
        return Err(format!("is in the future (year {year}): a call has begun before it is enqueued"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
