//! The API's description as a page.

use askama::Template;
use axum::response::Response;

use super::frame::{Frame, html};
use crate::auth::{Caller, Predicts};
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    f: Frame,
}

/// `GET /api`
pub(super) async fn page(_: Caller<Predicts>, f: Frame) -> Result<Response, Problem> {
    html(&ReferencePage { f })
}
