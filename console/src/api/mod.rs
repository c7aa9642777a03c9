//! `/api/v1`, its description, and `POST /api/predict/`.

mod analyses;
mod artifacts;
mod batches;
mod blocking;
mod calls;
mod deletions;
mod docs;
mod events;
mod export;
mod frames;
pub(crate) mod model;
mod peaks;
mod predictions;
mod range;
mod recordings;
mod reviews;
mod scratch;
mod segments;
mod similar;
mod stats;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use docs::openapi;
pub(crate) use events::sse;
pub(crate) use peaks::PeakCache;
pub(crate) use predictions::predict;
pub(crate) use range::is_known;

use crate::app::Shared;

/// All routes of the API.
pub(crate) fn routes() -> Router<Shared> {
    let (described, _) = described().split_for_parts();
    described
        .route("/api/predict", post(predictions::predict))
        .route("/api/v1/openapi.json", get(docs::openapi_json))
        .route("/api/openapi.json", get(docs::openapi_json))
        .layer(DefaultBodyLimit::disable())
}

/// The routes that the description has.
fn described() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(docs::description())
        .routes(routes!(predictions::predict))
        .routes(routes!(predictions::create))
        .routes(routes!(analyses::list))
        .routes(routes!(analyses::read))
        .routes(routes!(segments::list))
        .routes(routes!(frames::read))
        .routes(routes!(artifacts::read))
        .routes(routes!(artifacts::archive))
        .routes(routes!(peaks::read))
        .routes(routes!(events::stream))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::read, deletions::recording))
        .routes(routes!(calls::list))
        .routes(routes!(calls::read, deletions::call))
        .routes(routes!(export::calls))
        .routes(routes!(similar::list))
        .routes(routes!(reviews::list))
        .routes(routes!(reviews::put))
        .routes(routes!(stats::emotions))
        .routes(routes!(stats::failures))
        .routes(routes!(stats::agreement))
        .routes(routes!(stats::queues))
        .routes(routes!(batches::list))
        .routes(routes!(batches::read))
}
