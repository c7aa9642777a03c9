//! Batches: a list, and one with its progress.

use axum::Json;
use axum::extract::State;
use domain::BatchId;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::model::{Batch, Page};
use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Reads};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::cursor;

/// A page of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchQuery {
    /// Rows, 1 to 1000; 100 when nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The place that the page before gave as `next`.
    #[param(pattern = "^[A-Za-z0-9_-]{32}$")]
    after: Option<String>,
}

/// List batches
///
/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/batches", operation_id = "list_batches", tag = "batches", params(BatchQuery),
    responses((status = 200, description = "A page", body = Page<Batch>),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn list(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Query(query): Query<BatchQuery>,
) -> Result<Json<Page<Batch>>, Problem> {
    caller.require_all_teams()?;
    let (limit, after) = (cursor::limit(query.limit)?, cursor::read(query.after.as_deref())?);
    let rows = app.database.batch_page(after, limit + 1).await?;
    let (rows, next) = cursor::page(rows, limit, |row| cursor::write(row.created_at, row.id.0));
    Ok(Json(Page { items: rows.into_iter().map(|row| Batch::new(row, None)).collect(), next }))
}

/// Read a batch and its progress
#[utoipa::path(
    get, path = "/api/v1/batches/{id}", operation_id = "read_batch", tag = "batches", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The batch", body = Batch),
        (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn read(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Path(id): Path<Uuid>,
) -> Result<Json<Batch>, Problem> {
    caller.require_all_teams()?;
    let id = BatchId(id);
    let row = app.database.batch(id).await?.ok_or_else(|| Problem::not_found("batch"))?;
    let progress = app.database.batch_progress(&id).await?;
    Ok(Json(Batch::new(row, Some(progress))))
}
