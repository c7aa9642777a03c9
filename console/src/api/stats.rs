//! Counts over a time: emotions, failures, agreement with reviewers, and the depth of the queues.

use adapters::postgres::console::{AgreementCount, EmotionCount, FailureCount, Grouping, Order, Period};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Emotion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Reads};
use crate::extract::Query;
use crate::problem::Problem;
use crate::query::PeriodFilter;

/// Which calls are counted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PeriodQuery {
    /// From this moment on, RFC 3339; 30 days before `to` by default, and never more than 366 days.
    from: Option<DateTime<Utc>>,
    /// Before this moment, RFC 3339; now by default.
    to: Option<DateTime<Utc>>,
    /// Team of the agent.
    #[param(pattern = r"^[^\u0000]*$")]
    team: Option<String>,
}

/// Which calls are counted, and by what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EmotionsQuery {
    /// From this moment on, RFC 3339; 30 days before `to` by default, and never more than 366 days.
    from: Option<DateTime<Utc>>,
    /// Before this moment, RFC 3339; now by default.
    to: Option<DateTime<Utc>>,
    /// Team of the agent.
    #[param(pattern = r"^[^\u0000]*$")]
    team: Option<String>,
    /// What the calls are counted by; `day` by default.
    #[param(inline)]
    by: Option<By>,
    /// Whose days: minutes east of UTC, -840 to 840; 0 by default. 480 is China's time.
    #[param(minimum = -840, maximum = 840)]
    utc_offset_min: Option<i32>,
}

/// What calls are counted by.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum By {
    Day,
    Team,
    Agent,
    Emotion,
}

/// Counts of a time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counts<T> {
    /// From this moment on.
    from: DateTime<Utc>,
    /// Before this moment.
    to: DateTime<Utc>,
    /// The groups; at most 1000.
    items: Vec<T>,
}

/// The calls of a day, team, agent or emotion.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Emotions {
    /// The day like `2025-03-14`, the team, the agent or the emotion; null for calls without one.
    key: Option<String>,
    /// Calls with speech: the newest analysis of each recording.
    calls: u64,
    /// Their scored channels by likeliest emotion.
    #[schema(example = json!({"angry": 3, "neutral": 40}))]
    emotions: BTreeMap<&'static str, u64>,
    /// Minutes of speech.
    speech_minutes: f64,
    /// Share of the speech predicted as angry, disgusted, fearful or sad; null without speech.
    negative_share: Option<f64>,
    /// Mean probability of angry, weighted by seconds; null without speech.
    angry: Option<f64>,
}

/// Failed analyses with one code.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Failures {
    /// Stable code.
    #[schema(example = "audio.not_audio")]
    code: String,
    /// How many.
    failures: u64,
    /// When the latest of them failed.
    latest: DateTime<Utc>,
}

/// Reviews with the same two emotions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Agreement {
    /// What the model predicted; null: nothing, without speech.
    model: Option<&'static str>,
    /// The emotion by the reviewer.
    reviewer: &'static str,
    /// How many.
    reviews: u64,
    /// Whether both are the same.
    agrees: bool,
}

/// A queue of the fleet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueueDepth {
    /// Name.
    #[schema(example = "emofleet.jobs.interactive.emofleet-default")]
    name: String,
    /// Messages that no consumer has taken yet.
    messages: u32,
    /// Consumers.
    consumers: u32,
}

/// All queues of the fleet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Queues {
    /// The queues: dead letters, the lanes of each model that has open jobs, lanes for what names no model, retries.
    items: Vec<QueueDepth>,
}

fn counts<R, T: From<R>>(period: &Period, rows: Vec<R>) -> Json<Counts<T>> {
    Json(Counts { from: period.from, to: period.to, items: rows.into_iter().map(Into::into).collect() })
}

/// Count calls by emotion
///
/// By day, team, agent or emotion.
#[utoipa::path(
    get, path = "/api/v1/stats/emotions", operation_id = "count_emotions", tag = "stats", params(EmotionsQuery),
    responses((status = 200, description = "The counts", body = Counts<Emotions>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn emotions(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Query(query): Query<EmotionsQuery>,
) -> Result<Json<Counts<Emotions>>, Problem> {
    let minutes = query.utc_offset_min.unwrap_or_default();
    if !(-840..=840).contains(&minutes) {
        return Err(Problem::bad_request("`utc_offset_min` is -840 to 840."));
    }
    let by = match query.by.unwrap_or(By::Day) {
        By::Day => Grouping::Day(minutes),
        By::Team => Grouping::Team,
        By::Agent => Grouping::Agent,
        By::Emotion => Grouping::Emotion,
    };
    let period = PeriodFilter { from: query.from, to: query.to, team: query.team }.seen_by(&caller)?;
    let rows = app.database.emotion_counts(&period, by, Order::Key).await?;
    Ok(counts(&period, rows))
}

/// Count failures by code
#[utoipa::path(
    get, path = "/api/v1/stats/failures", operation_id = "count_failures", tag = "stats", params(PeriodQuery),
    responses((status = 200, description = "The counts, most frequent first", body = Counts<Failures>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn failures(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Query(query): Query<PeriodQuery>,
) -> Result<Json<Counts<Failures>>, Problem> {
    let period = PeriodFilter { from: query.from, to: query.to, team: query.team }.seen_by(&caller)?;
    let rows = app.database.failure_counts(&period).await?;
    Ok(counts(&period, rows))
}

/// Count agreement with reviewers
///
/// Reviews by what the model predicted and what the reviewer named: the confusion matrix.
#[utoipa::path(
    get, path = "/api/v1/stats/agreement", operation_id = "count_agreement", tag = "stats", params(PeriodQuery),
    responses((status = 200, description = "The counts", body = Counts<Agreement>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn agreement(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Query(query): Query<PeriodQuery>,
) -> Result<Json<Counts<Agreement>>, Problem> {
    let period = PeriodFilter { from: query.from, to: query.to, team: query.team }.seen_by(&caller)?;
    let rows = app.database.agreement_counts(&period).await?;
    Ok(counts(&period, rows))
}

/// Read the queues' depths
///
/// Counted by the broker at most three seconds ago.
#[utoipa::path(
    get, path = "/api/v1/stats/queues", operation_id = "read_queues", tag = "stats",
    responses((status = 200, description = "The queues", body = Queues),
        (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn queues(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
) -> Result<Json<Queues>, Problem> {
    caller.require_all_teams()?;
    let depths = app.workers.depths().await?.into_iter();
    let items = depths.map(|d| QueueDepth { name: d.queue, messages: d.messages, consumers: d.consumers }).collect();
    Ok(Json(Queues { items }))
}

impl From<EmotionCount> for Emotions {
    fn from(row: EmotionCount) -> Self {
        Self {
            key: row.key,
            calls: row.calls,
            emotions: Emotion::ALL.into_iter().map(|e| (e.label(), row.emotions[e.index()])).collect(),
            speech_minutes: row.speech_s / 60.0,
            negative_share: (row.speech_s > 0.0).then(|| row.negative_s / row.speech_s),
            angry: row.angry,
        }
    }
}

impl From<FailureCount> for Failures {
    fn from(row: FailureCount) -> Self {
        Self { code: row.code, failures: row.failures, latest: row.latest }
    }
}

impl From<AgreementCount> for Agreement {
    fn from(row: AgreementCount) -> Self {
        Self {
            model: row.model.map(Emotion::label),
            reviewer: row.reviewer.label(),
            reviews: row.reviews,
            agrees: row.model == Some(row.reviewer),
        }
    }
}
