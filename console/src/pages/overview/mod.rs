//! Counts over a period: by day, team and agent. Each leads to its calls.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

mod days;
mod groups;
mod stack;

use adapters::postgres::console::{Grouping, Order, Period};
use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Emotion;

use super::filter::{Chip, Filter, canonical};
use super::frame::{Frame, html};
use crate::app::{App, Shared};
use crate::auth::{Caller, Principal, Reads};
use crate::problem::Problem;
use days::Chart;
use groups::Groups;
use stack::Tally;

/// Address of the page.
const PATH: &str = "/overview";
/// Address of the calls that are counted.
const CALLS: &str = "/calls";

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    f: Frame,
    filter: Filter,
    chips: Vec<Chip>,
    /// The page without any filter.
    unfiltered: String,
    /// `None`: the filters can't be read.
    counts: Option<Counts>,
}

/// What was counted.
struct Counts {
    /// From, to and the clock, as a sentence.
    bounds: String,
    /// The period is shorter than asked for.
    cut: bool,
    total: Tally,
    /// The emotions that were predicted, most frequent first, with the address of their calls.
    legend: Vec<(Emotion, u64, String)>,
    chart: Chart,
    /// Teams and agents.
    groups: [Groups; 2],
    /// The calls that are counted.
    list: String,
}

impl OverviewPage {
    fn path() -> &'static str {
        PATH
    }

    fn days(f: &Frame, days: &u64) -> String {
        f.n("days", &(*days as f64))
    }
}

/// `GET /overview`
pub(super) async fn page(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    f: Frame,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(address) = canonical(PATH, query.as_deref(), &headers) {
        return Ok(Redirect::to(&address).into_response());
    }
    let filter = Filter::read(&f, query.as_deref(), &headers);
    let right = filter.wrong.is_empty();
    let counts = if right { Some(app.counts(&f, &filter, &caller).await?) } else { None };
    let status = if right { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let chips = filter.chips(&f, PATH, &["team"]);
    let unfiltered = format!("{PATH}?days=all&utc_offset_min={}", filter.offset.0);
    Ok((status, html(&OverviewPage { f, filter, chips, unfiltered, counts })?).into_response())
}

impl App {
    async fn counts(&self, f: &Frame, filter: &Filter, caller: &Principal) -> Result<Counts, Problem> {
        let asked = filter.period();
        let from = asked.from;
        let period: Period = asked.seen_by(caller)?;
        let days = self.database.emotion_counts(&period, Grouping::Day(filter.offset.0), Order::Key).await?;
        let teams = self.database.emotion_counts(&period, Grouping::Team, Order::NegativeFirst).await?;
        let agents = self.database.emotion_counts(&period, Grouping::Agent, Order::NegativeFirst).await?;
        let mut total = Tally::default();
        for day in &days {
            total.add(day);
        }
        // What a count leads to has its bounds, also where the address says "the last days".
        let (first, last) = (filter.offset.date(period.from), filter.offset.date(before(period.to)));
        let (from_day, to_day) = (first.to_string(), last.to_string());
        let bounds = [("from", Some(from_day.as_str())), ("to", Some(to_day.as_str()))];
        let within = |more: &[(&str, Option<&str>)]| filter.with(CALLS, &[&bounds[..], more].concat());
        let legend = total.ranked().into_iter();
        let legend = legend.map(|(emotion, n)| (emotion, n, within(&[("emotion", Some(emotion.label()))]))).collect();
        let words = [("from", from_day.as_str()), ("to", to_day.as_str()), ("clock", &filter.offset.name())];
        Ok(Counts {
            bounds: f.fill("overview-bounds", &words),
            cut: filter.is_of_any_time() || from.is_some_and(|from| from < period.from),
            legend,
            chart: Chart::new(f, filter, &days, first, last),
            groups: [("team", teams), ("agent", agents)]
                .map(|(name, rows)| Groups::new(f, name, &rows, |value| within(&[(name, Some(value))]))),
            list: within(&[]),
            total,
        })
    }
}

/// The last moment before this one, as far as the database tells them apart.
fn before(at: DateTime<Utc>) -> DateTime<Utc> {
    at.checked_sub_signed(TimeDelta::microseconds(1)).unwrap_or(at)
}
