//! Calls as an inspector lists them, and the analyses of one call.

use adapters::postgres::console::{AnalysisFilter, CallRow, ChannelCourse};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Emotion;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::analyses::EmotionLabel;
use super::model::{Analysis, Page};
use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Reads};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::{CallFilter, cursor, refuse_nul};

/// Filters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CallQuery {
    /// Calls from this moment on, RFC 3339.
    from: Option<DateTime<Utc>>,
    /// Calls before this moment, RFC 3339.
    to: Option<DateTime<Utc>>,
    /// Likeliest emotion.
    #[param(inline)]
    emotion: Option<EmotionLabel>,
    /// Team of the agent.
    #[param(pattern = r"^[^\u0000]*$")]
    team: Option<String>,
    /// Agent.
    #[param(pattern = r"^[^\u0000]*$")]
    agent: Option<String>,
    /// Customer.
    #[param(pattern = r"^[^\u0000]*$")]
    customer: Option<String>,
    /// Only calls on which an alert fired; false by default.
    alerts: Option<bool>,
    /// Rows, 1 to 1000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The place that the page before gave as `next`.
    #[param(pattern = "^[A-Za-z0-9_-]{32}$")]
    after: Option<String>,
}

impl From<CallQuery> for CallFilter {
    fn from(query: CallQuery) -> Self {
        Self {
            from: query.from,
            to: query.to,
            emotion: query.emotion.map(Into::into),
            team: query.team,
            agent: query.agent,
            customer: query.customer,
            alerts: query.alerts.unwrap_or_default(),
        }
    }
}

/// A call: the newest finished analysis of a recording, and the course of its channels.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Call {
    /// Its newest analysis.
    #[serde(flatten)]
    analysis: Analysis,
    /// Alerts that fired on it.
    alerts: u64,
    /// Reviews of it, its channels and segments.
    reviews: u64,
    /// The scored channels, by number.
    channels: Vec<Course>,
}

/// How the emotions of a channel went, from the first segment to the last.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Course {
    /// Channel number from 0; null for the mix of all.
    channel: Option<u16>,
    /// `customer`, `agent`, `speaker` or `mixed`.
    role: &'static str,
    /// Likeliest emotion; null without speech.
    emotion: Option<&'static str>,
    /// Its probability; null without speech.
    confidence: Option<f32>,
    /// Seconds of speech.
    speech_s: f32,
    /// Seconds of speech predicted as angry.
    angry_s: f32,
    /// Seconds of speech predicted as angry, disgusted, fearful or sad.
    negative_s: f32,
    /// Highest probability of angry in a segment; null without speech.
    peak_angry: Option<f32>,
    /// The second at which that segment begins.
    peak_angry_at_s: Option<f32>,
    /// Mean probability of the negative emotions in the first third; null with too few segments.
    first_third: Option<f32>,
    /// The same in the last third.
    last_third: Option<f32>,
    /// `last_third` minus `first_third`: above 0, the call got worse.
    shift: Option<f32>,
    /// The second at which the call turned negative; null when it did not.
    turned_at_s: Option<f32>,
}

impl From<ChannelCourse> for Course {
    fn from(course: ChannelCourse) -> Self {
        Self {
            channel: course.channel,
            role: course.role.label(),
            emotion: course.emotion.map(Emotion::label),
            confidence: course.confidence,
            speech_s: course.speech_s,
            angry_s: course.angry_s,
            negative_s: course.negative_s,
            peak_angry: course.peak_angry,
            peak_angry_at_s: course.peak_angry_at_s,
            first_third: course.first_third,
            last_third: course.last_third,
            shift: course.last_third.zip(course.first_third).map(|(last, first)| last - first),
            turned_at_s: course.turned_at_s,
        }
    }
}

impl From<CallRow> for Call {
    fn from(row: CallRow) -> Self {
        Self {
            analysis: row.analysis.into(),
            alerts: row.alerts,
            reviews: row.reviews,
            channels: row.channels.into_iter().map(Into::into).collect(),
        }
    }
}

/// List calls
///
/// Newest first: the newest finished analysis of each recording, with the course of each scored channel.
#[utoipa::path(
    get, path = "/api/v1/calls", operation_id = "list_calls", tag = "calls", params(CallQuery),
    responses((status = 200, description = "A page", body = Page<Call>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn list(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Query(query): Query<CallQuery>,
) -> Result<Json<Page<Call>>, Problem> {
    let (limit, after) = (cursor::limit(query.limit)?, cursor::read(query.after.as_deref())?);
    let filter = CallFilter::from(query).seen_by(&caller)?;
    let rows = app.database.calls(&filter, after, limit + 1).await?;
    let place = |row: &CallRow| cursor::write(row.analysis.called_at, row.analysis.job_id.0);
    let (rows, next) = cursor::page(rows, limit, place);
    Ok(Json(Page { items: rows.into_iter().map(Into::into).collect(), next }))
}

/// List a call's analyses
///
/// Of all its recordings, newest first; at most 1000.
#[utoipa::path(
    get, path = "/api/v1/calls/{call_id}", operation_id = "list_call", tag = "calls", params(("call_id" = String, Path, pattern = r"^[^\u0000]*$")),
    responses((status = 200, description = "The analyses", body = Page<Analysis>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn read(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Path(call_id): Path<String>,
) -> Result<Json<Page<Analysis>>, Problem> {
    let call_id = Some(call_id);
    refuse_nul(&[&call_id])?;
    let filter = AnalysisFilter { call_id, team: caller.team, ..AnalysisFilter::default() };
    let rows = app.database.analyses(&filter, None, cursor::MOST_ROWS).await?;
    if rows.is_empty() {
        return Err(Problem::not_found("call"));
    }
    Ok(Json(Page { items: rows.into_iter().map(Into::into).collect(), next: None }))
}
