//! Nine scores, fifty times a second.

use axum::Json;
use axum::extract::State;
use domain::{Emotion, JobId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::cursor::{POINT_BOUNDS, bounded};
use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Follows};
use crate::extract::{Path, Query};
use crate::problem::Problem;

/// Which frames.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FrameQuery {
    /// Channel number from 0; all by default.
    #[param(minimum = 0, maximum = 65535)]
    channel: Option<u16>,
    /// From this second on.
    from: Option<f64>,
    /// Before this second.
    to: Option<f64>,
    /// About the most rows to answer with, each a mean of neighbours, 1 to 20000; all by default.
    #[param(minimum = 1, maximum = 20000)]
    points: Option<u32>,
}

/// Scores over time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Frames {
    /// Order of the scores.
    labels: Vec<&'static str>,
    /// Frames that each row is the mean of; 1: none were joined.
    step: usize,
    /// The rows, by channel and time.
    rows: Vec<FrameRow>,
}

/// Nine scores at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FrameRow {
    /// Channel number from 0; null for the mix.
    channel: Option<u16>,
    /// Seconds from the recording's beginning.
    t: f64,
    /// Nine probabilities, in the order of `labels`.
    #[schema(value_type = Vec<f32>)]
    scores: [f32; Emotion::COUNT],
}

/// Read an analysis' scores over time
///
/// Only for granularity `frame`.
#[utoipa::path(
    get, path = "/api/v1/analyses/{job_id}/frames", operation_id = "read_frames", tag = "analyses", params(("job_id" = Uuid, Path), FrameQuery),
    responses((status = 200, description = "The frames", body = Frames),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 500, response = Refused),
        (status = 503, response = Refused))
)]
pub(super) async fn read(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Follows>,
    Path(job): Path<Uuid>,
    Query(query): Query<FrameQuery>,
) -> Result<Json<Frames>, Problem> {
    let points = query.points.map(|points| bounded("points", points, POINT_BOUNDS)).transpose()?;
    let job = JobId(job);
    app.visible(job, &caller).await?;
    let series = app.report(job).await?.0.frames.ok_or_else(|| {
        Problem::new(
            axum::http::StatusCode::NOT_FOUND,
            "not_found",
            "The analysis has no frames: its granularity is not `frame`.",
        )
    })?;
    let (from, to) = (query.from.unwrap_or(f64::MIN), query.to.unwrap_or(f64::MAX));
    let rate = f64::from(series.rate.max(1));
    let wanted = series.segments.iter().filter(|segment| query.channel.is_none() || segment.channel == query.channel);
    let rows: Vec<FrameRow> = wanted
        .flat_map(|segment| {
            segment.scores.iter().enumerate().map(move |(index, scores)| FrameRow {
                channel: segment.channel,
                t: segment.start_s + index as f64 / rate,
                scores: *scores,
            })
        })
        .filter(|row| (from..to).contains(&row.t))
        .collect();
    let step = points.map_or(1, |points| rows.len().div_ceil(points as usize).max(1));
    let rows = if step == 1 { rows } else { join(&rows, step, 1.5 / rate) };
    Ok(Json(Frames { labels: series.labels.iter().map(|label| label.label()).collect(), step, rows }))
}

/// Means of `step` neighbours of the same channel, never across a gap.
fn join(rows: &[FrameRow], step: usize, gap_s: f64) -> Vec<FrameRow> {
    let neighbours = |a: &FrameRow, b: &FrameRow| a.channel == b.channel && (b.t - a.t) <= gap_s && b.t >= a.t;
    rows.chunk_by(neighbours).flat_map(|run| run.chunks(step)).map(mean).collect()
}

fn mean(rows: &[FrameRow]) -> FrameRow {
    let mut scores = [0.0; Emotion::COUNT];
    for row in rows {
        for (sum, score) in scores.iter_mut().zip(row.scores) {
            *sum += score / rows.len() as f32;
        }
    }
    FrameRow { channel: rows[0].channel, t: rows[0].t, scores }
}
