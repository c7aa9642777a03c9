//! Recordings that sound like one, by their embeddings.

use adapters::postgres::console::AnalysisFilter;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::JobId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::model::Analysis;
use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Reads};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::{cursor, refuse_nul};

/// Neighbours by default.
const NEIGHBOURS: u32 = 10;
/// Newest analyses compared by default.
const AMONG: u32 = 2000;

/// Which recordings to compare.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SimilarQuery {
    /// Neighbours, 1 to 100; 10 by default.
    #[param(minimum = 1, maximum = 100)]
    k: Option<u32>,
    /// How many of the newest analyses are compared, 1 to 20000; 2000 by default.
    #[param(minimum = 1, maximum = 20000)]
    among: Option<u32>,
    /// Calls from this moment on, RFC 3339.
    from: Option<DateTime<Utc>>,
    /// Calls before this moment, RFC 3339.
    to: Option<DateTime<Utc>>,
    /// Team of the agent.
    #[param(pattern = r"^[^\u0000]*$")]
    team: Option<String>,
}

/// The recordings that are nearest.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Similar {
    /// Analyses that were compared: the newest ones of the same model, with an embedding.
    compared: u64,
    /// Nearest first.
    items: Vec<Neighbour>,
}

/// A recording and how near it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Neighbour {
    /// Cosine of both embeddings: 1 is the same direction.
    similarity: f32,
    /// Its analysis.
    analysis: Analysis,
}

/// Find similar recordings
///
/// By the cosine of the embeddings, exactly: every candidate is compared. Needs an analysis with an embedding.
#[utoipa::path(
    get, path = "/api/v1/analyses/{job_id}/similar", operation_id = "find_similar", tag = "analyses",
    params(("job_id" = Uuid, Path), SimilarQuery),
    responses((status = 200, description = "The nearest recordings", body = Similar),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn list(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    Path(job): Path<Uuid>,
    Query(query): Query<SimilarQuery>,
) -> Result<Json<Similar>, Problem> {
    let k = cursor::bounded("k", query.k.unwrap_or(NEIGHBOURS), 1..=100)?;
    let among = cursor::bounded("among", query.among.unwrap_or(AMONG), 1..=20_000)?;
    refuse_nul(&[&query.team])?;
    let job = JobId(job);
    app.visible(job, &caller).await?;
    let filter = AnalysisFilter {
        from: query.from.map(cursor::within_years),
        to: query.to.map(cursor::within_years),
        team: caller.team.or(query.team),
        ..AnalysisFilter::default()
    };
    let found = app.database.neighbours(job, &filter, k as usize, among).await?;
    let found = found.ok_or_else(|| {
        Problem::new(axum::http::StatusCode::NOT_FOUND, "not_found", "The analysis has no embedding.")
    })?;
    let jobs: Vec<JobId> = found.nearest.iter().map(|(job, _)| *job).collect();
    let rows = app.database.analyses_by_id(&jobs).await?;
    let mut rows: HashMap<JobId, _> = rows.into_iter().map(|row| (row.job_id, row)).collect();
    let nearest = found.nearest.into_iter();
    let items =
        nearest.filter_map(|(job, similarity)| Some(Neighbour { similarity, analysis: rows.remove(&job)?.into() }));
    Ok(Json(Similar { compared: found.compared, items: items.collect() }))
}
