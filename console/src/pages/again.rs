//! Analyses the same recording again: with other options, or after a transient failure.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use domain::JobId;
use uuid::Uuid;

use crate::app::Shared;
use crate::auth::{Caller, Predicts};
use crate::extract::Path;
use crate::problem::Problem;
use crate::upload::Fields;

/// Longest form, bytes.
const MAX_FORM: usize = 4 << 10;

/// `POST /recognise/{job_id}/again`: what the form does not name stays as it was.
pub(super) async fn again(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Predicts>,
    Path(job): Path<Uuid>,
    request: Request,
) -> Result<Response, Problem> {
    let row = app.visible(JobId(job), &caller).await?;
    let form = app.small_body(request, MAX_FORM).await?;
    let mut fields = Fields::default();
    for (name, value) in url::form_urlencoded::parse(&form) {
        fields.take(&name, &value)?;
    }
    let job = app.resubmit(&caller, &row, &fields).await?;
    Ok(Redirect::to(&format!("/recognise/{job}")).into_response())
}
