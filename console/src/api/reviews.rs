//! Verdicts of people beside the model's predictions. Neither ever replaces the other.

use adapters::postgres::console::{ReviewFilter, ReviewRow};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{Emotion, JobId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::analyses::EmotionLabel;
use super::model::Page;
use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Reads, Reviews};
use crate::extract::{Body, Path, Query};
use crate::problem::Problem;
use crate::query::{cursor, refuse_nul};
use crate::verdict;

/// Filters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReviewQuery {
    /// Given from this moment on, RFC 3339.
    from: Option<DateTime<Utc>>,
    /// Given before this moment, RFC 3339.
    to: Option<DateTime<Utc>>,
    /// Of this analysis.
    job: Option<Uuid>,
    /// By this reviewer: `user:NAME`, `token:NAME`, `local`, or a name that `producer review` imported.
    #[param(pattern = r"^[^\u0000]*$")]
    reviewer: Option<String>,
    /// Team of the agent.
    #[param(pattern = r"^[^\u0000]*$")]
    team: Option<String>,
    /// Rows, 1 to 1000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The place that the page before gave as `next`.
    #[param(pattern = "^[A-Za-z0-9_-]{32}$")]
    after: Option<String>,
}

/// A verdict: what the emotion was, by a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Verdict {
    /// The emotion.
    emotion: EmotionLabel,
    /// Channel number from 0; absent: the call as a whole or, with a segment, its only scored channel.
    #[schema(minimum = 0, maximum = 32767)]
    channel: Option<u16>,
    /// The segment's number within the channel, from 0.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    segment: Option<u32>,
    /// A remark.
    #[schema(max_length = 2000, pattern = r"^[^\u0000]*$")]
    note: Option<String>,
}

/// A person's verdict beside the model's prediction.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Review {
    /// The analysis.
    job_id: Uuid,
    /// The call's own number.
    call_id: Option<String>,
    /// Channel number from 0, -1 for the mix of all; null: the call as a whole.
    channel: Option<i32>,
    /// The segment's number; null: the channel, or the call, as a whole.
    segment: Option<u32>,
    /// The reviewer: `user:NAME`, `token:NAME`, `local`, or a name that `producer review` imported.
    reviewer: String,
    /// When.
    reviewed_at: DateTime<Utc>,
    /// What the model predicted when the verdict was given.
    model_emotion: Option<&'static str>,
    /// The emotion by the reviewer.
    emotion: &'static str,
    /// A remark.
    note: String,
}

impl From<ReviewRow> for Review {
    fn from(row: ReviewRow) -> Self {
        Self {
            job_id: row.job_id.0,
            call_id: row.call_id,
            channel: row.channel.map(|channel| channel.map_or(-1, i32::from)),
            segment: row.segment,
            reviewer: row.reviewer,
            reviewed_at: row.reviewed_at,
            model_emotion: row.model_emotion.map(Emotion::label),
            emotion: row.emotion.label(),
            note: row.note,
        }
    }
}

/// List reviews
///
/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/reviews", operation_id = "list_reviews", tag = "reviews", params(ReviewQuery),
    responses((status = 200, description = "A page", body = Page<Review>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn list(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Query(query): Query<ReviewQuery>,
) -> Result<Json<Page<Review>>, Problem> {
    let (limit, after) = (cursor::limit(query.limit)?, cursor::read(query.after.as_deref())?);
    refuse_nul(&[&query.reviewer, &query.team])?;
    let filter = ReviewFilter {
        from: query.from.map(cursor::within_years),
        to: query.to.map(cursor::within_years),
        job: query.job.map(JobId),
        reviewer: query.reviewer,
        team: caller.team.or(query.team),
    };
    let rows = app.database.reviews(&filter, after, limit + 1).await?;
    let (rows, next) = cursor::page(rows, limit, |row: &ReviewRow| cursor::write(row.reviewed_at, row.place()));
    Ok(Json(Page { items: rows.into_iter().map(Into::into).collect(), next }))
}

/// Review an analysis
///
/// The caller's verdict on a call, one of its channels or a segment. A newer verdict of the same caller on the same replaces
/// the older one; the model's prediction stays. Needs the role reviewer. Answers with all of the caller's verdicts on the
/// analysis.
#[utoipa::path(
    put, path = "/api/v1/analyses/{job_id}/review", operation_id = "review_analysis", tag = "reviews",
    params(("job_id" = Uuid, Path)), request_body = Verdict,
    responses((status = 200, description = "The caller's verdicts on the analysis", body = Page<Review>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 409, response = Refused), (status = 413, response = Refused), (status = 415, response = Refused),
        (status = 422, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn put(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reviews>,
    Path(job): Path<Uuid>,
    Body(verdict): Body<Verdict>,
) -> Result<Json<Page<Review>>, Problem> {
    let job = JobId(job);
    let Verdict { emotion, channel, segment, note } = verdict;
    let note = note.unwrap_or_default();
    app.keep_verdict(&caller, job, verdict::Verdict { emotion: emotion.into(), channel, segment, note }).await?;
    let filter = ReviewFilter { job: Some(job), reviewer: Some(caller.name()), ..ReviewFilter::default() };
    let rows = app.database.reviews(&filter, None, cursor::MOST_ROWS).await?;
    Ok(Json(Page { items: rows.into_iter().map(Into::into).collect(), next: None }))
}
