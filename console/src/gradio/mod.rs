//! The interface for `gradio_client` (Python) and `@gradio/client` (JavaScript). docs/console.md has the versions.

mod calls;
mod config;
mod parked;
mod queue;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

pub(crate) use parked::{Parked, SWEEP};
pub(crate) use queue::Sessions;

use crate::api;
use crate::app::Shared;

/// The routes: as in Gradio 3 and 4, and below `/gradio_api` as in 5 and 6.
pub(crate) fn routes() -> Router<Shared> {
    Router::new().merge(endpoints()).nest("/gradio_api", endpoints()).layer(DefaultBodyLimit::disable())
}

fn endpoints() -> Router<Shared> {
    Router::new()
        .route("/config", get(config::config))
        .route("/info", get(config::info))
        .route("/upload", post(parked::upload))
        .route("/queue/join", post(queue::join))
        .route("/queue/data", get(queue::data))
        .route("/heartbeat/{session}", get(queue::heartbeat))
        .route("/reset", post(queue::reset))
        .route("/run/predict", post(api::predict))
        .route("/run/predict/", post(api::predict))
        .route("/call/predict", post(calls::begin))
        .route("/call/predict/{event_id}", get(calls::follow))
}
