//! Analyses: a list by filters, and one.

use adapters::postgres::Status;
use adapters::postgres::console::{AnalysisFilter, AnalysisRow};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{BatchId, Emotion, JobId};
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;
use uuid::Uuid;

use super::model::{Analysis, Page};
use super::predictions::Refused;
use crate::app::{App, Shared};
use crate::auth::{Caller, Capability, Follows, Principal, Reads};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::{cursor, refuse_nul};

/// Longest wait for an analysis' end, seconds.
const MOST_WAIT_S: u32 = 60;

/// Filters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Calls from this moment on, RFC 3339.
    from: Option<DateTime<Utc>>,
    /// Calls before this moment, RFC 3339.
    to: Option<DateTime<Utc>>,
    /// `queued`, `running`, `retrying`, `done` or `failed`.
    #[param(inline)]
    status: Option<StatusLabel>,
    /// Likeliest emotion.
    #[param(inline)]
    emotion: Option<EmotionLabel>,
    /// Batch.
    batch: Option<Uuid>,
    /// Recording.
    recording: Option<Uuid>,
    /// Name of the model.
    #[param(pattern = r"^[^\u0000]*$")]
    model: Option<String>,
    /// The call's own number.
    #[param(pattern = r"^[^\u0000]*$")]
    call_id: Option<String>,
    /// Team of the agent.
    #[param(pattern = r"^[^\u0000]*$")]
    team: Option<String>,
    /// Agent.
    #[param(pattern = r"^[^\u0000]*$")]
    agent: Option<String>,
    /// Customer.
    #[param(pattern = r"^[^\u0000]*$")]
    customer: Option<String>,
    /// Rows, 1 to 1000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The place that the page before gave as `next`.
    #[param(pattern = "^[A-Za-z0-9_-]{32}$")]
    after: Option<String>,
}

macro_rules! labels {
    ($( $(#[$doc:meta])* $name:ident of $target:ty { $( $variant:ident ),* } )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, serde::Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "lowercase")]
        pub(crate) enum $name { $( $variant ),* }
        impl From<$name> for $target {
            fn from(label: $name) -> Self {
                match label { $( $name::$variant => Self::$variant ),* }
            }
        }
    )* };
}

labels! {
    /// A state.
    StatusLabel of Status { Queued, Running, Retrying, Done, Failed }
    /// An emotion.
    EmotionLabel of Emotion { Angry, Disgusted, Fearful, Happy, Neutral, Other, Sad, Surprised, Unknown }
}

/// List analyses
///
/// Newest call first.
#[utoipa::path(
    get, path = "/api/v1/analyses", operation_id = "list_analyses", tag = "analyses", params(ListQuery),
    responses((status = 200, description = "A page", body = Page<Analysis>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn list(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Analysis>>, Problem> {
    let (limit, after) = (cursor::limit(query.limit)?, cursor::read(query.after.as_deref())?);
    let texts = [&query.model, &query.call_id, &query.team, &query.agent, &query.customer];
    refuse_nul(&texts)?;
    let filter = AnalysisFilter {
        from: query.from.map(cursor::within_years),
        to: query.to.map(cursor::within_years),
        status: query.status.map(Into::into),
        emotion: query.emotion.map(Into::into),
        batch: query.batch.map(BatchId),
        recording: query.recording,
        model: query.model,
        call_id: query.call_id,
        team: caller.team.or(query.team),
        agent: query.agent,
        customer: query.customer,
        ..AnalysisFilter::default()
    };
    let rows = app.database.analyses(&filter, after, limit + 1).await?;
    let (rows, next) = cursor::page(rows, limit, |row| cursor::write(row.called_at, row.job_id.0));
    Ok(Json(Page { items: rows.into_iter().map(Into::into).collect(), next }))
}

/// Whether to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadQuery {
    /// Seconds to wait for its end, 0 to 60; 0 by default.
    #[param(minimum = 0, maximum = 60)]
    wait: Option<u32>,
}

/// Read an analysis
#[utoipa::path(
    get, path = "/api/v1/analyses/{job_id}", operation_id = "read_analysis", tag = "analyses", params(("job_id" = Uuid, Path), ReadQuery),
    responses((status = 200, description = "The analysis", body = Analysis),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn read(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Follows>,
    Path(job): Path<Uuid>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<Analysis>, Problem> {
    let wait = cursor::bounded("wait", query.wait.unwrap_or_default(), 0..=MOST_WAIT_S)?;
    let job = JobId(job);
    let mut row = app.visible(job, &caller).await?;
    if wait > 0 && !matches!(row.status, Status::Done | Status::Failed) {
        app.hub.ended(job, Duration::from_secs(wait.into())).await;
        row = app.visible(job, &caller).await?;
    }
    Ok(Json(row.into()))
}

impl App {
    /// An analysis that this caller may see: of its team, and without the permission `read` only one that it submitted.
    ///
    /// # Errors
    /// 404; 503 when the database does not answer.
    pub(crate) async fn visible(&self, job: JobId, caller: &Principal) -> Result<AnalysisRow, Problem> {
        let found = self.database.analysis(job, caller.team.as_deref()).await?;
        let row = found.ok_or_else(|| Problem::not_found("analysis"))?;
        if caller.may(Capability::Read) || self.database.has_submitted(&caller.name(), job).await? {
            return Ok(row);
        }
        Err(Problem::not_found("analysis"))
    }
}
