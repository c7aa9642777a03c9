//! Times as people and their tools write them. What could mean two days, or no call's day, is refused, never guessed.

mod numeric;
mod offset;
mod words;

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono::{TimeZone, Timelike};
use chrono_tz::Tz;

use numeric::{compact, unix};
use offset::without_zone;
use words::{PartOfDay, is_weekday, month_named, part_of_day};

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
    /// Order of day and month where the year is last.
    pub(crate) order: Option<DateOrder>,
    /// Both orders were found: without [`Dates::order`], none is believed.
    pub(crate) mixed: bool,
}

/// A time that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) time: DateTime<Utc>,
    /// It named no zone.
    pub(crate) local: bool,
    /// The order of day and month that it shows, where the year is last and one of both is above 12.
    pub(crate) order: Option<DateOrder>,
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
            return Ok(Read { time, local: false, order: None });
        }
        let (text, offset) = without_zone(text)?;
        let (when, order) = self.naive(text.trim())?;
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
        Ok(Read { time, local: offset.is_none(), order })
    }

    /// Date and time of day, and the order of day and month that shows.
    fn naive(self, text: &str) -> Result<(NaiveDateTime, Option<DateOrder>), String> {
        if let Some(time) = compact(text) {
            return Ok((time, None));
        }
        // A colon behind a year separates date and time, in logs of web servers.
        let of_clock = |at: &usize| text[..*at].bytes().rev().take_while(u8::is_ascii_digit).count() <= 2;
        let Some(colon) = text.match_indices(':').map(|(at, _)| at).find(of_clock) else {
            let (date, order) = self.date(text)?;
            return Ok((date.and_time(NaiveTime::MIN), order));
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
        let (date, part) = part_of_day(&format!("{before} {behind}"));
        let (date, order) = self.date(&date)?;
        Ok((date.and_time(time_of_day(&time, part)?), order))
    }

    fn date(self, text: &str) -> Result<(NaiveDate, Option<DateOrder>), String> {
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
        let mut order = None;
        let (year, month, day) = match (numbers.as_slice(), month) {
            ([year, day], Some(month)) if year_at(0) => (year, month, value(day)),
            ([day, year], Some(month)) if year_at(1) => (year, month, value(day)),
            ([_, year], Some(_)) => return Err(short(year)),
            ([year, month, day], None) if year_at(0) => (year, value(month), value(day)),
            ([first, second, year], None) if year_at(2) => {
                let dots = text.contains('.');
                let (month, day, shown) = self.ordered(value(first), value(second), dots)?;
                order = shown;
                (year, month, day)
            }
            ([first, _, last], None) => {
                let first_is_year = text.contains('年') || text.contains('-');
                return Err(short(if first_is_year { first } else { last }));
            }
            _ => return Err(EXPECTED.into()),
        };
        let year = i32::try_from(value(year)).unwrap_or(i32::MAX);
        let date = NaiveDate::from_ymd_opt(year, month, day);
        date.map(|date| (date, order))
            .ok_or_else(|| format!("is no day of the calendar (year {year}, month {month}, day {day})"))
    }

    /// Month and day, and the order that they show. With dots the day is first, everywhere.
    fn ordered(self, first: u32, second: u32, dots: bool) -> Result<(u32, u32, Option<DateOrder>), String> {
        if dots {
            return Ok((second, first, None));
        }
        let (shown, written) = match (first > 12, second > 12) {
            (true, _) => (Some(DateOrder::Dmy), "day"),
            (false, true) => (Some(DateOrder::Mdy), "month"),
            (false, false) => (None, ""),
        };
        match (self.order, shown) {
            (Some(order), Some(shown)) if order != shown => {
                let order = if order == DateOrder::Dmy { "dmy" } else { "mdy" };
                Err(format!(
                    "has the {written} first, which --date-order {order} excludes: correct it, or write the year first"
                ))
            }
            (None, Some(_)) if self.mixed => Err(format!(
                "has the {written} first, and other dates do not: write the year first, or say --date-order dmy or mdy"
            )),
            (Some(DateOrder::Dmy), _) | (None, Some(DateOrder::Dmy)) => Ok((second, first, shown)),
            (Some(DateOrder::Mdy), _) | (None, Some(DateOrder::Mdy)) => Ok((first, second, shown)),
            (None, None) if first == second => Ok((first, second, None)),
            (None, None) => Err(format!(
                "may be day {first} of month {second} or day {second} of month {first}: write the year first, or say --date-order dmy or mdy"
            )),
        }
    }
}

/// Full-width characters as ASCII, any space as a plain one, and the words of Chinese clocks as colons.
fn plain(text: &str) -> String {
    /// In place of a word of a clock, until the spaces around it are gone.
    const CLOCK: char = '\u{1}';
    let ascii = text.trim().trim_start_matches('\u{feff}').chars().map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '时' | '時' | '点' | '點' | '分' => CLOCK,
        // Minus, dash, and hyphens of word processors.
        '\u{2212}' | '\u{2010}'..='\u{2013}' => '-',
        c if c.is_whitespace() => ' ',
        c => c,
    });
    let text: String = ascii.filter(|c| !matches!(c, '秒' | '\u{200b}' | '\u{200e}' | '\u{200f}')).collect();
    let parts: Vec<&str> = text.split(CLOCK).map(str::trim).collect();
    let text = parts.join(":");
    let text = text.trim_end_matches(':').split_whitespace().collect::<Vec<_>>().join(" ");
    // `14:05 Uhr`.
    let uhr =
        text.len().checked_sub(4).filter(|at| text.is_char_boundary(*at) && text[*at..].eq_ignore_ascii_case(" uhr"));
    uhr.map_or_else(|| text.clone(), |at| text[..at].to_owned())
}

/// `14:05`, `2:05:09.25`; with a part of the day, hours to 12.
fn time_of_day(text: &str, part: Option<PartOfDay>) -> Result<NaiveTime, String> {
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
    let hour = match part {
        Some(part) => part.hour(hour).ok_or_else(|| {
            format!("has the hour {hour} in a part of the day that lacks it or has it twice: write it from 0 to 23")
        })?,
        None => hour,
    };
    let nanos = format!("{:0<9}", fraction.chars().take(9).collect::<String>()).parse().map_err(|_| none())?;
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos).ok_or_else(none)
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
