//! The list of calls, newest first.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

mod link;
mod rows;

use adapters::postgres::console::CallRow;
use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use domain::Emotion;

pub(super) use link::link;

use super::filter::{Chip, Filter, Wrong, canonical};
use super::frame::{Frame, html};
use crate::app::{App, Shared};
use crate::auth::{Caller, Capability, Principal, Reads};
use crate::problem::Problem;
use crate::query::cursor;
use rows::Row;

/// Rows of a page.
const ROWS: u32 = 100;
/// Address of the page.
const PATH: &str = "/calls";

#[derive(Template)]
#[template(path = "calls.html")]
struct CallsPage {
    f: Frame,
    filter: Filter,
    chips: Vec<Chip>,
    /// The page without any filter.
    unfiltered: String,
    rows: Vec<Row>,
    /// The page of older calls.
    older: Option<String>,
    /// The first page, from a later one.
    newest: Option<String>,
    /// The file of these calls, for those who may.
    export: Option<String>,
    /// The reader may send recordings.
    sends: bool,
}

impl CallsPage {
    fn emotions() -> [Emotion; Emotion::COUNT] {
        Emotion::ALL
    }

    fn path() -> &'static str {
        PATH
    }

    fn days(f: &Frame, days: &u64) -> String {
        f.n("days", &(*days as f64))
    }
}

/// `GET /calls`
pub(in crate::pages) async fn page(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    f: Frame,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(address) = canonical(PATH, query.as_deref(), &headers) {
        return Ok(Redirect::to(&address).into_response());
    }
    let mut filter = Filter::read(&f, query.as_deref(), &headers);
    let mut wrong_place = false;
    let place = Some(filter.typed("after")).filter(|place| !place.is_empty());
    let after = cursor::read(place).unwrap_or_else(|_| {
        wrong_place = true;
        None
    });
    if wrong_place {
        filter.wrong.push(Wrong { field: "after", sentence: f.t("wrong-place") });
    }
    let (mut rows, mut next) = (Vec::new(), None);
    if filter.wrong.is_empty() {
        (rows, next) = app.page_of_calls(&filter, &caller, after).await?;
    }
    let status = if filter.wrong.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let page = CallsPage {
        chips: filter.chips(&f, PATH, &["team", "agent", "customer", "emotion", "alerts"]),
        unfiltered: format!("{PATH}?days=all&utc_offset_min={}", filter.offset.0),
        rows: rows.iter().map(|row| Row::new(&f, &filter, row)).collect(),
        older: next.map(|place| filter.after(PATH, &place)),
        newest: (!filter.typed("after").is_empty()).then(|| filter.first(PATH)),
        export: (caller.may(Capability::Admin) && status.is_success()).then(|| filter.export()),
        sends: caller.may(Capability::Predict),
        filter,
        f,
    };
    Ok((status, html(&page)?).into_response())
}

impl App {
    /// A page of the list, and the place of the next one.
    async fn page_of_calls(
        &self,
        filter: &Filter,
        caller: &Principal,
        after: Option<adapters::postgres::console::Cursor>,
    ) -> Result<(Vec<CallRow>, Option<String>), Problem> {
        let rows = self.database.calls(&filter.calls().seen_by(caller)?, after, ROWS + 1).await?;
        Ok(cursor::page(rows, ROWS, |row| cursor::write(row.analysis.called_at, row.analysis.job_id.0)))
    }
}
