//! Filters of the pages that list and count calls, as their address has them.

mod address;
mod chips;
mod offset;

use axum::http::HeaderMap;
use chrono::{DateTime, Days, NaiveDate, Utc};
use domain::Emotion;
use domain::visible::visible;

pub(super) use address::canonical;
pub(super) use chips::Chip;
pub(super) use offset::Offset;

use super::frame::Frame;
use crate::query::{CallFilter, PeriodFilter};

/// Days up to today, where no dates are given.
const DAYS: u64 = 30;
/// The choices of the form.
const CHOICES: [u64; 5] = [1, 7, DAYS, 90, 365];
/// Most days up to today.
const MOST_DAYS: u64 = 3660;

/// What is wrong with a value of the address.
pub(super) struct Wrong {
    /// Name of the parameter.
    pub(super) field: &'static str,
    /// A sentence for the reader.
    pub(super) sentence: String,
}

/// What the address asks for. Values that can't be read are kept as they were typed, and named in `wrong`.
pub(super) struct Filter {
    pairs: Vec<(String, String)>,
    /// Calls of so many days up to today, where there are no dates; `None`: of any time.
    days: Option<u64>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    pub(super) offset: Offset,
    emotion: Option<Emotion>,
    alerts: bool,
    today: NaiveDate,
    /// The only team that the reader sees.
    bound: Option<String>,
    /// What could not be read.
    pub(super) wrong: Vec<Wrong>,
}

impl Filter {
    /// Reads a query.
    pub(super) fn read(f: &Frame, query: Option<&str>, headers: &HeaderMap) -> Self {
        let pairs = address::pairs(query);
        let get = |name: &str| address::value(&pairs, name);
        let mut wrong = Vec::new();
        let mut refuse = |field, key: &str, value: &str| {
            wrong.push(Wrong { field, sentence: f.w(key, &visible(&value.chars().take(60).collect::<String>())) });
        };
        let offset = get("utc_offset_min").map_or_else(|| Offset::kept(headers), Offset::read);
        let offset = offset.unwrap_or_else(|value| {
            refuse("utc_offset_min", "wrong-offset", &value);
            Offset::default()
        });
        let mut date = |field: &'static str| {
            let value = get(field)?;
            let date = NaiveDate::parse_from_str(value.trim(), "%Y-%m-%d").ok();
            date.or_else(|| {
                refuse(field, "wrong-date", value);
                None
            })
        };
        let (from, to) = (date("from"), date("to"));
        let days = match get("days") {
            None => Some(DAYS),
            Some("all") => None,
            Some(value) => {
                Some(value.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days)).unwrap_or_else(|| {
                    refuse("days", "wrong-days", value);
                    DAYS
                }))
            }
        };
        let emotion = get("emotion").and_then(|value| {
            let emotion = Emotion::from_label(value);
            if emotion.is_none() {
                refuse("emotion", "wrong-emotion", value);
            }
            emotion
        });
        let alerts = get("alerts").is_some_and(|value| {
            if value != "true" {
                refuse("alerts", "wrong-alerts", value);
            }
            value == "true"
        });
        for field in ["team", "agent", "customer"] {
            if let Some(value) = get(field).filter(|value| value.contains('\0')) {
                refuse(field, "wrong-text", value);
            }
        }
        if let Some((from, to)) = from.zip(to).filter(|(from, to)| from > to) {
            refuse("to", "wrong-order", &format!("{from} – {to}"));
        }
        let bound = f.reader.as_ref().and_then(|reader| reader.team.clone());
        let today = offset.date(Utc::now());
        Self { pairs, days, from, to, offset, emotion, alerts, today, bound, wrong }
    }

    /// A value as it was typed; empty where there is none.
    pub(super) fn typed(&self, name: &str) -> &str {
        address::value(&self.pairs, name).unwrap_or_default()
    }

    /// A value as it was typed, for people.
    pub(super) fn shown(&self, name: &str) -> String {
        visible(self.typed(name)).into_owned()
    }

    /// The only team that the reader sees.
    pub(super) fn bound(&self) -> Option<String> {
        self.bound.as_deref().map(|team| visible(team).into_owned())
    }

    /// Whether this parameter has a value that can't be read.
    pub(super) fn is_wrong(&self, field: &str) -> bool {
        self.wrong.iter().any(|wrong| wrong.field == field)
    }

    /// The first and the last day; without an end, up to now.
    fn dates(&self) -> (Option<NaiveDate>, Option<NaiveDate>) {
        if self.from.is_some() || self.to.is_some() {
            return (self.from, self.to);
        }
        (self.days.and_then(|days| self.today.checked_sub_days(Days::new(days - 1))), None)
    }

    /// The two moments, the second one after the last day.
    fn moments(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let (from, to) = self.dates();
        let after = to.map(|to| to.checked_add_days(Days::new(1)).unwrap_or(to));
        (from.map(|day| self.offset.begin(day)), after.map(|day| self.offset.begin(day)))
    }

    /// Which calls are listed.
    pub(super) fn calls(&self) -> CallFilter {
        let (from, to) = self.moments();
        let text = |name| Some(self.typed(name).to_owned()).filter(|value| !value.is_empty());
        CallFilter {
            from,
            to,
            emotion: self.emotion,
            team: text("team"),
            agent: text("agent"),
            customer: text("customer"),
            alerts: self.alerts,
        }
    }

    /// Which calls are counted; without a first day, as many days as are counted at once.
    pub(super) fn period(&self) -> PeriodFilter {
        let CallFilter { from, to, team, .. } = self.calls();
        let last = self.dates().1.unwrap_or(self.today);
        let earliest = last.checked_sub_days(Days::new(crate::query::MOST_DAYS.unsigned_abs() - 1));
        PeriodFilter { from: from.or(earliest.map(|day| self.offset.begin(day))), to, team }
    }

    /// The choices of days up to today: value, number, whether it is chosen.
    pub(super) fn choices(&self) -> Vec<(String, u64, bool)> {
        let dated = self.from.is_some() || self.to.is_some();
        let chosen = |days| !dated && self.days == Some(days);
        let mut choices = CHOICES.to_vec();
        choices.extend(self.days.filter(|days| !CHOICES.contains(days)));
        choices.sort_unstable();
        choices.into_iter().map(|days| (days.to_string(), days, chosen(days))).collect()
    }

    /// Whether any time is asked for.
    pub(super) fn is_of_any_time(&self) -> bool {
        self.days.is_none() && self.from.is_none() && self.to.is_none()
    }

    /// Whether the form's dates decide.
    pub(super) fn is_dated(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}
