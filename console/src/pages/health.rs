//! `/live`, `/ready` and `/healthz`, without a login: whether the console answers, and which services it misses.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use crate::app::{App, Shared};

/// Longest that the check waits for one service.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is given again.
const FRESH: Duration = Duration::from_secs(1);

/// The routes.
pub(crate) fn health() -> Router<Shared> {
    Router::new().route("/live", get(live)).route("/healthz", get(live)).route("/ready", get(ready))
}

async fn live() -> &'static str {
    "live\n"
}

/// The latest answer to `/ready`. Anyone may ask: each question would take a connection of the database, and requests to the
/// store and the broker.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Vec<&'static str>)>>);

impl Readiness {
    /// The services that are missing. Those who ask at the same time get the same answer.
    async fn missing(&self, app: &App) -> Vec<&'static str> {
        let mut latest = self.0.lock().await;
        if let Some((at, missing)) = &*latest
            && at.elapsed() < FRESH
        {
            return missing.clone();
        }
        let missing = ask(app).await;
        *latest = Some((Instant::now(), missing.clone()));
        missing
    }
}

async fn ask(app: &App) -> Vec<&'static str> {
    let database = async { tokio::time::timeout(PATIENCE, app.database.check_schema()).await.is_ok_and(|r| r.is_ok()) };
    let store = async {
        let bucket = &app.settings.s3.bucket;
        tokio::time::timeout(PATIENCE, app.store.ping(bucket)).await.is_ok_and(|r| r.is_ok())
    };
    let broker = async { tokio::time::timeout(PATIENCE, app.publisher.accepts()).await.is_ok_and(|r| r.is_ok()) };
    let (database, store, broker) = tokio::join!(database, store, broker);
    let found = [("postgres", database), ("s3", store), ("rabbitmq", broker)];
    found.into_iter().filter_map(|(name, there)| (!there).then_some(name)).collect()
}

async fn ready(State(app): State<Shared>) -> (StatusCode, Json<serde_json::Value>) {
    let missing = app.readiness.missing(&app).await;
    let code = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": missing.is_empty(), "missing": missing })))
}
