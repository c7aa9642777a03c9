//! Recordings: a list by filters, and one.

use adapters::postgres::console::RecordingFilter;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::model::{Page, Recording};
use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Reads};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::{cursor, refuse_nul};

/// Filters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordingQuery {
    /// Registered from this moment on, RFC 3339.
    from: Option<DateTime<Utc>>,
    /// Registered before this moment, RFC 3339.
    to: Option<DateTime<Utc>>,
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

/// List recordings
///
/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/recordings", operation_id = "list_recordings", tag = "recordings", params(RecordingQuery),
    responses((status = 200, description = "A page", body = Page<Recording>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn list(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Query(query): Query<RecordingQuery>,
) -> Result<Json<Page<Recording>>, Problem> {
    let (limit, after) = (cursor::limit(query.limit)?, cursor::read(query.after.as_deref())?);
    refuse_nul(&[&query.call_id, &query.team, &query.agent, &query.customer])?;
    let filter = RecordingFilter {
        from: query.from.map(cursor::within_years),
        to: query.to.map(cursor::within_years),
        call_id: query.call_id,
        team: caller.team.or(query.team),
        agent: query.agent,
        customer: query.customer,
    };
    let rows = app.database.recordings(&filter, after, limit + 1).await?;
    let (rows, next) = cursor::page(rows, limit, |row| cursor::write(row.created_at, row.facts.id));
    Ok(Json(Page { items: rows.into_iter().map(Into::into).collect(), next }))
}

/// Read a recording
#[utoipa::path(
    get, path = "/api/v1/recordings/{id}", operation_id = "read_recording", tag = "recordings", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The recording", body = Recording),
        (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn read(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Path(id): Path<Uuid>,
) -> Result<Json<Recording>, Problem> {
    let row = app.database.recording(id, caller.team.as_deref()).await?;
    row.map(|row| Json(row.into())).ok_or_else(|| Problem::not_found("recording"))
}
