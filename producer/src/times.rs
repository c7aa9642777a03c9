//! Times as spreadsheets write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

const WITH_ZONE: &[&str] = &["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f %:z", "%Y-%m-%dT%H:%M%:z"];
const WITHOUT_ZONE: &[&str] =
    &["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S"];

/// RFC 3339 and similar formats; without a zone, UTC.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Some(time) = WITH_ZONE.iter().find_map(|f| DateTime::parse_from_str(text, f).ok()) {
        return Ok(time.to_utc());
    }
    if let Some(time) = WITHOUT_ZONE.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok()) {
        return Ok(time.and_utc());
    }
    let midnight = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    midnight.map(|time| time.and_utc()).ok_or_else(|| format!("`{text}` is not a time like 2026-11-22T14:05:00+08:00"))
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_read_as_tables_write_them() {
        for (text, utc) in [
            ("2026-11-22T14:05:00+08:00", "2026-11-22T06:05:00+00:00"),
            ("2026-11-22T14:05:00Z", "2026-11-22T14:05:00+00:00"),
            ("2026-11-22 14:05:00", "2026-11-22T14:05:00+00:00"),
            ("2026-11-22 14:05", "2026-11-22T14:05:00+00:00"),
            ("2026-11-22 14:05:00+01:00", "2026-11-22T13:05:00+00:00"),
            ("2026-11-22", "2026-11-22T00:00:00+00:00"),
        ] {
            assert_eq!(time(text).expect(text).to_rfc3339(), utc, "{text}");
        }
        assert!(time("22.11.").is_err());
    }
}
