//! The pages. All of them work without JavaScript; it adds progress, waveforms and recording.

mod again;
mod assets;
mod batch;
mod calls;
mod error;
mod filter;
mod frame;
mod health;
mod login;
mod nav;
mod operations;
mod overview;
mod recognise;
mod reference;
mod result;
mod review;
mod snippets;
mod view;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

pub(crate) use error::{error_key, errors, method_not_allowed, not_found};
pub(crate) use health::{Readiness, health};
pub(crate) use operations::Operations;

use crate::app::Shared;

/// All pages and their files.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(recognise::page))
        .route("/recognise", post(recognise::upload).layer(DefaultBodyLimit::disable()))
        .route("/recognise/{job_id}", get(result::page))
        .route("/recognise/{job_id}/again", post(again::again))
        .route("/calls", get(calls::page))
        .route("/calls/{job_id}", get(calls::link))
        .route("/overview", get(overview::page))
        .route("/batches/{id}", get(batch::page))
        .route("/review", get(review::queue))
        .route("/review/{job_id}", get(review::one).post(review::save))
        .route("/operations", get(operations::page))
        .route("/samples/{name}", get(recognise::sample))
        .route("/login", get(login::page).post(login::login))
        .route("/logout", post(login::logout))
        .route("/api", get(reference::page))
        .route("/assets/{*path}", get(assets::file))
}
