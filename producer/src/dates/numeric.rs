//! Times made of digits alone: Unix time, and compact ISO 8601.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

/// Seconds, milli-, micro- or nanoseconds since 1970.
pub(super) fn unix(text: &str) -> Result<Option<DateTime<Utc>>, String> {
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
pub(super) fn compact(text: &str) -> Option<NaiveDateTime> {
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
