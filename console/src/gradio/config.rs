//! `/config` and `/info`: one function, `predict`, in the words of Gradio 4.
//!
//! Each key is there because a client fails without it: `queue: false` and `cancels` for `gradio_client` 0.6 to 2,
//! an empty `api_prefix` for 1.x.

use axum::http::header;
use axum::response::IntoResponse;

use crate::auth::{Caller, Predicts};

/// `GET /config`
pub(super) async fn config(_: Caller<Predicts>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("config.json"))
}

/// `GET /info`
pub(super) async fn info(_: Caller<Predicts>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("info.json"))
}
