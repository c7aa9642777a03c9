//! Whose days and hours a page shows: so many minutes east of UTC.

use axum::http::HeaderMap;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::auth::cookie;

/// Name of the cookie in which a script of every page keeps the browser's own offset.
pub(super) const COOKIE: &str = "utc_offset_min";

/// Beside whole hours, those in use.
const OTHERS: [i32; 11] = [-570, -210, 210, 270, 330, 345, 390, 525, 570, 630, 765];

/// Minutes east of UTC, -840 to 840.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::pages) struct Offset(pub(in crate::pages) i32);

impl Offset {
    /// The offset in this text.
    ///
    /// # Errors
    /// The text, when it is none.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let minutes = text.trim().parse().ok().filter(|minutes| (-840..=840).contains(minutes));
        minutes.map(Self).ok_or_else(|| text.to_owned())
    }

    /// That of the browser; UTC until its cookie is there.
    #[expect(clippy::unnecessary_wraps, reason = "stands for a value of the address")]
    pub(super) fn kept(headers: &HeaderMap) -> Result<Self, String> {
        Ok(cookie(headers, COOKIE).and_then(|text| Self::read(text).ok()).unwrap_or_default())
    }

    /// Like `UTC+08:00`.
    pub(in crate::pages) fn name(self) -> String {
        if self.0 == 0 {
            return "UTC".into();
        }
        let (sign, minutes) = (if self.0 < 0 { '−' } else { '+' }, self.0.abs());
        format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// The offsets to choose from, this one among them.
    pub(in crate::pages) fn choices(self) -> Vec<Self> {
        let hours = (-12..=14).map(|hours| hours * 60);
        let mut minutes: Vec<i32> = hours.chain(OTHERS).chain([self.0]).collect();
        minutes.sort_unstable();
        minutes.dedup();
        minutes.into_iter().map(Self).collect()
    }

    /// A moment on the clock there.
    pub(in crate::pages) fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        let at = at.naive_utc();
        at.checked_add_signed(TimeDelta::minutes(self.0.into())).unwrap_or(at)
    }

    /// The day of a moment there.
    pub(in crate::pages) fn date(self, at: DateTime<Utc>) -> NaiveDate {
        self.local(at).date()
    }

    /// When a day begins there.
    pub(in crate::pages) fn begin(self, day: NaiveDate) -> DateTime<Utc> {
        let begin = day.and_time(NaiveTime::MIN).and_utc();
        begin.checked_sub_signed(TimeDelta::minutes(self.0.into())).unwrap_or(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_offset() {
        let china = Offset::read("480").expect("an offset");
        let at: DateTime<Utc> = "2025-03-14T17:30:00Z".parse().expect("a time");
        assert_eq!(china.date(at).to_string(), "2025-03-15");
        assert_eq!(china.begin(china.date(at)).to_rfc3339(), "2025-03-14T16:00:00+00:00");
        assert_eq!(Offset(-210).name(), "UTC−03:30");
        assert!(["841", "x", ""].iter().all(|text| Offset::read(text).is_err()));
        assert!(Offset(13).choices().contains(&Offset(13)));
    }
}
