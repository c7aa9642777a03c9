//! Nine scores, fifty times a second.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::report::FrameSeries;
use domain::{Emotion, JobId};
use serde::{Deserialize, Serialize, Serializer};
use std::fs::File;
use std::io::BufWriter;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::predictions::Refused;
use super::scratch::{self, Written};
use crate::app::Shared;
use crate::auth::{Caller, Follows};
use crate::extract::{Path, Query};
use crate::predict::SMALL_RESULT;
use crate::problem::Problem;
use crate::query::cursor::{POINT_BOUNDS, bounded};

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
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the answer; `Answer` is it, row by row")]
pub(super) struct Frames {
    /// Order of the scores.
    labels: Vec<&'static str>,
    /// Frames that each row is the mean of; 1: none were joined.
    step: usize,
    /// The rows, by channel and time.
    rows: Vec<FrameRow>,
}

/// [`Frames`], as they are written.
#[derive(Serialize)]
struct Answer<R> {
    labels: Vec<&'static str>,
    step: usize,
    rows: R,
}

/// Rows that are written as they are made: four hours of two channels are a million and a half.
struct Each<F>(F);

/// What is read of `result.json`.
#[derive(Deserialize)]
struct Framed {
    #[serde(default)]
    frames: Option<FrameSeries>,
}

/// Which frames, and how many.
struct Selection {
    channel: Option<u16>,
    time: std::ops::Range<f64>,
    points: Option<u32>,
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
) -> Result<Response, Problem> {
    let points = query.points.map(|points| bounded("points", points, POINT_BOUNDS)).transpose()?;
    let time = query.from.unwrap_or(f64::MIN)..query.to.unwrap_or(f64::MAX);
    let selection = Selection { channel: query.channel, time, points };
    let job = JobId(job);
    app.visible(job, &caller).await?;
    let (folder, shared) = (app.settings.console.temp_dir.clone(), app.clone());
    let read = move |json: &[u8]| {
        // An answer holds its room on the disk for as long as its reader takes.
        let large = json.len() as u64 > SMALL_RESULT;
        let turn = match large.then(|| shared.limits.large_answers.turn_now()).transpose() {
            Ok(turn) => turn,
            Err(busy) => return Ok(Err(busy)),
        };
        let series = serde_json::from_slice::<Framed>(json)?.frames;
        let write = |series| scratch::begin(&folder).and_then(|file| selection.write(&series, file));
        Ok(Ok(series.map(|series| write(series).map(|written| (written, turn)))))
    };
    let written = app.read_result(job, read).await?.0?.ok_or_else(|| {
        let detail = "The analysis has no frames: its granularity is not `frame`.";
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    })?;
    let (written, turn) = written.map_err(|error| {
        tracing::error!(%error, "frames can't be written to console.temp_dir");
        Problem::unavailable("worker.no_space", "The console can't write the frames at this moment. Try again later.")
    })?;
    let headers =
        [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, written.bytes.to_string())];
    Ok((headers, written.send(turn)).into_response())
}

impl Selection {
    fn rows<'a>(&'a self, series: &'a FrameSeries) -> impl Iterator<Item = FrameRow> + 'a {
        let rate = rate(series);
        let wanted = series.segments.iter().filter(|segment| self.channel.is_none() || segment.channel == self.channel);
        let rows = wanted.flat_map(move |segment| {
            segment.scores.iter().enumerate().map(move |(index, scores)| FrameRow {
                channel: segment.channel,
                t: segment.start_s + index as f64 / rate,
                scores: *scores,
            })
        });
        rows.filter(|row| self.time.contains(&row.t))
    }

    fn write(&self, series: &FrameSeries, file: File) -> std::io::Result<Written> {
        let mut to = BufWriter::new(file);
        let labels = series.labels.iter().map(|label| label.label()).collect();
        let step = self.points.map_or(1, |points| self.rows(series).count().div_ceil(points as usize).max(1));
        if step == 1 {
            serde_json::to_writer(&mut to, &Answer { labels, step, rows: Each(|| self.rows(series)) })?;
        } else {
            let rows: Vec<_> = self.rows(series).collect();
            serde_json::to_writer(&mut to, &Answer { labels, step, rows: join(&rows, step, 1.5 / rate(series)) })?;
        }
        Written::to(to.into_inner().map_err(std::io::IntoInnerError::into_error)?)
    }
}

impl<F: Fn() -> I, I: Iterator<Item = FrameRow>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Frames a second.
fn rate(series: &FrameSeries) -> f64 {
    f64::from(series.rate.max(1))
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
