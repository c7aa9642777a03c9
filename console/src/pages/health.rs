//! `/live`, `/ready` and `/healthz`, without a login: whether the console answers, and which services it misses.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::time::Duration;

use crate::app::Shared;

/// Longest that the check waits for one service.
const PATIENCE: Duration = Duration::from_secs(2);

/// The routes.
pub(crate) fn health() -> Router<Shared> {
    Router::new().route("/live", get(live)).route("/healthz", get(live)).route("/ready", get(ready))
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(app): State<Shared>) -> (StatusCode, Json<serde_json::Value>) {
    let database = async { tokio::time::timeout(PATIENCE, app.database.check_schema()).await.is_ok_and(|r| r.is_ok()) };
    let store = async {
        let bucket = &app.settings.s3.bucket;
        tokio::time::timeout(PATIENCE, app.store.ping(bucket)).await.is_ok_and(|r| r.is_ok())
    };
    let broker = async { tokio::time::timeout(PATIENCE, app.publisher.accepts()).await.is_ok_and(|r| r.is_ok()) };
    let (database, store, broker) = tokio::join!(database, store, broker);
    let missing: Vec<_> = [("postgres", database), ("s3", store), ("rabbitmq", broker)]
        .into_iter()
        .filter_map(|(name, there)| (!there).then_some(name))
        .collect();
    let code = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": missing.is_empty(), "missing": missing })))
}
