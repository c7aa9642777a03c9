//! Calls by day; by week, where the days would be too narrow to see.

use adapters::postgres::console::EmotionCount;
use chrono::{Days, NaiveDate};
use std::collections::BTreeMap;

use super::CALLS;
use super::stack::{Part, Tally};
use crate::pages::filter::Filter;
use crate::pages::frame::Frame;

/// More days than this are counted by week.
const MOST_BARS: i64 = 62;
/// Dates below the bars, about.
const TICKS: usize = 6;

/// The bars of a period.
pub(super) struct Chart {
    pub(super) weeks: bool,
    /// Channels that a bar of full height has.
    pub(super) most: u64,
    pub(super) bars: Vec<Bar>,
}

/// A day, or a week.
pub(super) struct Bar {
    /// Its first day.
    pub(super) day: String,
    /// What it says to those who don't see it.
    pub(super) label: String,
    /// The calls of its days.
    pub(super) address: String,
    pub(super) tally: Tally,
    /// Its counts in words.
    pub(super) words: String,
    /// Negative emotions at the top.
    pub(super) parts: Vec<Part>,
    /// The date below it, where there is one.
    pub(super) tick: Option<String>,
}

impl Chart {
    /// The days from the first to the last, those without calls too.
    pub(super) fn new(f: &Frame, filter: &Filter, counts: &[EmotionCount], first: NaiveDate, last: NaiveDate) -> Self {
        let weeks = last.signed_duration_since(first).num_days() >= MOST_BARS;
        let width = if weeks { 7 } else { 1 };
        let mut tallies: BTreeMap<NaiveDate, Tally> = BTreeMap::new();
        let mut day = Some(first);
        while let Some(begin) = day.filter(|day| *day <= last) {
            tallies.insert(begin, Tally::default());
            day = begin.checked_add_days(Days::new(width));
        }
        for count in counts {
            let day = count.key.as_deref().and_then(|key| NaiveDate::parse_from_str(key, "%Y-%m-%d").ok());
            if let Some((_, tally)) = day.and_then(|day| tallies.range_mut(..=day).next_back()) {
                tally.add(count);
            }
        }
        let most = tallies.values().map(Tally::channels).max().unwrap_or_default();
        let every = tallies.len().div_ceil(TICKS).max(1);
        let bars = tallies.into_iter().enumerate().map(|(number, (begin, tally))| {
            let end = begin.checked_add_days(Days::new(width - 1)).map_or(begin, |end| end.min(last));
            let (day, to) = (begin.to_string(), end.to_string());
            let calls = tally.calls.to_string();
            Bar {
                label: f.fill("overview-day", &[("name", &day), ("calls", &calls)]),
                address: filter.with(CALLS, &[("from", Some(&day)), ("to", Some(&to))]),
                words: tally.words(f),
                parts: tally.parts(most),
                tick: (number % every == 0).then(|| begin.format("%m-%d").to_string()),
                tally,
                day,
            }
        });
        Self { weeks, most, bars: bars.collect() }
    }
}
