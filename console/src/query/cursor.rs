//! What lists and curves take: places as opaque text, bounded numbers and moments.

use adapters::postgres::console::Cursor;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use std::ops::RangeInclusive;
use uuid::Uuid;

use crate::problem::Problem;

/// Rows of a page by default.
const ROWS: u32 = 100;
/// Most rows of a page.
pub(crate) const MOST_ROWS: u32 = 1000;

/// Bounds of the points of a curve.
pub(crate) const POINT_BOUNDS: RangeInclusive<u32> = 1..=20_000;

/// The years 1 to 9999, in microseconds since 1970: what both chrono and Postgres can hold.
const YEARS: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// Writes a place.
pub(crate) fn write(at: DateTime<Utc>, id: Uuid) -> String {
    let mut bytes = at.timestamp_micros().to_be_bytes().to_vec();
    bytes.extend_from_slice(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a place.
///
/// # Errors
/// 400 for what no list gave.
pub(crate) fn read(text: Option<&str>) -> Result<Option<Cursor>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let parse = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (at, id) = bytes.split_at_checked(8)?;
        let micros = i64::from_be_bytes(at.try_into().ok()?).clamp(*YEARS.start(), *YEARS.end());
        let at = DateTime::from_timestamp_micros(micros)?;
        Some(Cursor { at, id: Uuid::from_slice(id).ok()? })
    };
    parse().map(Some).ok_or_else(|| Problem::bad_request("`after` is not a cursor that a list gave."))
}

/// A moment as a filter: one outside the years 1 to 9999, which Postgres may refuse, becomes the nearest one within.
pub(crate) fn within_years(at: DateTime<Utc>) -> DateTime<Utc> {
    let micros = at.timestamp_micros().clamp(*YEARS.start(), *YEARS.end());
    DateTime::from_timestamp_micros(micros).unwrap_or(at)
}

/// The rows wanted.
///
/// # Errors
/// 400 outside 1 to 1000.
pub(crate) fn limit(limit: Option<u32>) -> Result<u32, Problem> {
    bounded("limit", limit.unwrap_or(ROWS), 1..=MOST_ROWS)
}

/// A number of a query.
///
/// # Errors
/// 400 outside its bounds.
pub(crate) fn bounded(name: &str, value: u32, bounds: RangeInclusive<u32>) -> Result<u32, Problem> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    Err(Problem::bad_request(format!("`{name}` is {} to {}.", bounds.start(), bounds.end())))
}

/// Cuts the row that was read beyond the limit, and gives the place of the last one kept.
pub(crate) fn page<T>(mut rows: Vec<T>, limit: u32, place: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = if more { rows.last().map(place) } else { None };
    (rows, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_and_other_text_is_refused() {
        let at = DateTime::from_timestamp_micros(1_774_000_000_123_456).expect("a time");
        let id = Uuid::new_v4();
        assert_eq!(read(Some(&write(at, id))).ok().flatten(), Some(Cursor { at, id }));
        // Calls may be dated before 1970.
        let old = DateTime::from_timestamp_micros(-1).expect("a time");
        assert_eq!(read(Some(&write(old, id))).ok().flatten(), Some(Cursor { at: old, id }));
        for bad in ["", "x", "!!", &"A".repeat(40)] {
            assert!(read(Some(bad)).is_err(), "{bad}");
        }
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
    }

    #[test]
    fn moments_stay_within_the_years_that_postgres_holds() {
        let far: DateTime<Utc> = "-9999-01-01T00:00:00Z".parse().expect("chrono reads it");
        assert_eq!(within_years(far).to_rfc3339(), "0001-01-01T00:00:00+00:00");
        let late: DateTime<Utc> = "+262000-01-01T00:00:00Z".parse().expect("chrono reads it");
        assert!(within_years(late).to_rfc3339().starts_with("9999-12-31T23:59:59"));
        let now = Utc::now();
        assert_eq!(within_years(now).timestamp_micros(), now.timestamp_micros());
    }
}
