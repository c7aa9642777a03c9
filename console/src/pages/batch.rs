//! Several files uploaded together: a table that fills.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

use adapters::postgres::{Progress, ResultRow, Status};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::visible::visible;
use domain::{BatchId, Emotion};
use std::borrow::Cow;
use uuid::Uuid;

use super::error::sentence;
use super::frame::{Frame, html};
use super::view::{clock, percent};
use crate::api::model::file_name;
use crate::app::Shared;
use crate::auth::{Caller, Reads};
use crate::extract::Path;
use crate::predict::SOURCE;
use crate::problem::Problem;

/// Rows shown; the API has the rest.
const ROWS: u32 = 500;

#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    f: Frame,
    name: String,
    progress: Progress,
    rows: Vec<ResultRow>,
    /// Files that were uploaded with them and not taken: name and sentence.
    refused: Vec<(String, String)>,
    /// How many of the rows have each emotion, most frequent first.
    emotions: Vec<(Emotion, usize)>,
}

impl BatchPage {
    fn clock(seconds: &f64) -> String {
        clock(seconds)
    }

    fn file_name(key: &str) -> Cow<'_, str> {
        visible(file_name(key))
    }

    fn percent(probability: &f32) -> String {
        percent(probability)
    }

    fn code(row: &ResultRow) -> String {
        row.failure.as_ref().map(|failure| super::error_key(failure.code.code())).unwrap_or_default()
    }
}

/// `GET /batches/{id}`
pub(super) async fn page(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    f: Frame,
    Path(id): Path<Uuid>,
) -> Result<Response, Problem> {
    let (batch, team) = (BatchId(id), caller.team.as_deref());
    let row = app.database.batch(batch).await?.ok_or_else(|| Problem::not_found("batch"))?;
    let progress = app.database.batch_progress_of(&batch, team).await?;
    // Callers who are limited to a team see their own part of a batch. Its name may concern others, unless a console made it.
    if team.is_some() && progress.total == 0 {
        return Err(Problem::not_found("batch"));
    }
    let name = if team.is_none() || row.source == SOURCE { row.name } else { String::new() };
    let rows = app.database.results_of(&batch, team, None, ROWS).await?;
    let refused = app.refusals.of(batch, team).into_iter();
    let refused = refused.map(|file| (visible(&file.name).into_owned(), sentence(&f, &file.problem))).collect();
    let count = |emotion| rows.iter().filter(|row| row.emotion == Some(emotion)).count();
    let mut emotions: Vec<_> = Emotion::ALL.into_iter().map(|emotion| (emotion, count(emotion))).collect();
    emotions.retain(|(_, count)| *count > 0);
    emotions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    html(&BatchPage { f, name, progress, rows, refused, emotions })
}
