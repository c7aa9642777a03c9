//! Places in lists, as opaque text.

use adapters::postgres::console::Cursor;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::problem::Problem;

/// Rows of a page when nothing is said.
pub(crate) const ROWS: u32 = 100;
/// Most rows of a page.
pub(crate) const MOST_ROWS: u32 = 1000;

/// Microseconds from 1970 to the year 9999.
const LATEST: i64 = 253_370_764_800_000_000;

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
        // Within what both chrono and Postgres can hold.
        let micros = i64::from_be_bytes(at.try_into().ok()?).clamp(0, LATEST);
        let at = DateTime::from_timestamp_micros(micros)?;
        Some(Cursor { at, id: Uuid::from_slice(id).ok()? })
    };
    parse().map(Some).ok_or_else(|| Problem::bad_request("`after` is not a cursor that a list gave."))
}

/// The rows wanted, within bounds.
///
/// # Errors
/// 400 outside them.
pub(crate) fn limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit {
        None => Ok(ROWS),
        Some(limit) if (1..=MOST_ROWS).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::bad_request(format!("`limit` is 1 to {MOST_ROWS}."))),
    }
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
        for bad in ["", "x", "!!", &"A".repeat(40)] {
            assert!(read(Some(bad)).is_err(), "{bad}");
        }
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
    }
}
