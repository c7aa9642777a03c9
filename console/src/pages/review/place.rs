//! A place in the queue as text, for addresses and forms.

use adapters::postgres::console::{QueuedReview, ReviewReason};
use chrono::DateTime;
use domain::JobId;

use crate::problem::Problem;

/// Up to the year 9999, in microseconds since 1970.
const MICROS: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_000_000;

/// Like `alert.1774000000123456.0190a5e2-0000-7000-8000-000000000000`.
pub(super) fn write(place: &QueuedReview) -> String {
    format!("{}.{}.{}", place.reason, place.at.timestamp_micros(), place.job_id)
}

/// Reads a place.
///
/// # Errors
/// 400 for what no page gave.
pub(super) fn read(text: &str) -> Result<QueuedReview, Problem> {
    let parse = || {
        let (reason, rest) = text.split_once('.')?;
        let (micros, job) = rest.split_once('.')?;
        let micros = micros.parse().ok().filter(|micros| MICROS.contains(micros))?;
        let (reason, at) = (ReviewReason::from_label(reason)?, DateTime::from_timestamp_micros(micros)?);
        Some(QueuedReview { reason, at, job_id: JobId(job.parse().ok()?) })
    };
    parse().ok_or_else(|| Problem::bad_request("`after` is not a place that a page gave."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_and_other_text_is_refused() {
        for reason in ReviewReason::ALL {
            let at = DateTime::from_timestamp_micros(1_774_000_000_123_456).expect("a time");
            let place = QueuedReview { reason, at, job_id: JobId(uuid::Uuid::new_v4()) };
            assert_eq!(read(&write(&place)).ok(), Some(place));
        }
        let id = uuid::Uuid::nil();
        for bad in [
            "",
            "alert",
            "alert.1",
            &format!("x.1.{id}"),
            &format!("alert.-1.{id}"),
            &format!("alert.999999999999999999.{id}"),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
