//! The timeline of one analysis.

use adapters::postgres::console::SegmentFilter;
use axum::Json;
use axum::extract::State;
use domain::JobId;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::analyses::EmotionLabel;
use super::model::{Page, Segment};
use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Follows};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::cursor;

/// Filters of the timeline.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SegmentQuery {
    /// Channel number from 0; -1 for the mix.
    #[param(minimum = -1, maximum = 32767)]
    channel: Option<i16>,
    /// Likeliest emotion.
    #[param(inline)]
    emotion: Option<EmotionLabel>,
    /// Rows, 1 to 1000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The place that the page before gave as `next`.
    #[param(pattern = r"^(-1|[0-9]{1,4})\.[0-9]{1,9}$")]
    after: Option<String>,
}

/// List an analysis' segments
///
/// By channel and time.
#[utoipa::path(
    get, path = "/api/v1/analyses/{job_id}/segments", operation_id = "list_segments", tag = "analyses", params(("job_id" = Uuid, Path), SegmentQuery),
    responses((status = 200, description = "A page", body = Page<Segment>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn list(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Follows>,
    Path(job): Path<Uuid>,
    Query(query): Query<SegmentQuery>,
) -> Result<Json<Page<Segment>>, Problem> {
    let (job, limit) = (JobId(job), cursor::limit(query.limit)?);
    if query.channel.is_some_and(|channel| channel < -1) {
        return Err(Problem::bad_request("`channel` is a channel number from 0, or -1 for the mix."));
    }
    let after = query.after.as_deref().map(place).transpose()?;
    app.visible(job, &caller).await?;
    let filter = SegmentFilter { channel: query.channel, emotion: query.emotion.map(Into::into), after };
    let rows = app.database.segments(job, &filter, limit + 1).await?;
    let (rows, next) = cursor::page(rows, limit, |row| format!("{}.{}", row.channel.map_or(-1, i32::from), row.index));
    Ok(Json(Page { items: rows.into_iter().map(Into::into).collect(), next }))
}

fn place(text: &str) -> Result<(i16, u32), Problem> {
    let parse = || {
        let (channel, segment) = text.split_once('.')?;
        Some((channel.parse().ok()?, segment.parse().ok()?))
    };
    parse().ok_or_else(|| Problem::bad_request("`after` is not a cursor that a list gave."))
}
