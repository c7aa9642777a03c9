//! `/call/predict`: Gradio's two plain requests; the second is answered by an event.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::response::sse::Event;
use domain::JobId;
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use uuid::Uuid;

use crate::api::sse;
use crate::app::Shared;
use crate::auth::{Caller, Predicts};
use crate::extract::Path;
use crate::problem::Problem;

/// `POST /call/predict`
pub(super) async fn begin(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Predicts>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (job, _) = app.join(&caller, request).await?;
    Ok(Json(json!({ "event_id": job.0.simple().to_string() })))
}

/// `GET /call/predict/{event_id}`
pub(super) async fn follow(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Predicts>,
    Path(event): Path<Uuid>,
) -> Result<Response, Problem> {
    let job = JobId(event);
    app.visible(job, &caller).await?;
    let end = async move {
        let event = match app.output(job).await {
            Ok(result) => Event::default().event("complete").data(json!([result]).to_string()),
            Err(sentence) => Event::default().event("error").data(json!(sentence).to_string()),
        };
        Ok::<_, Infallible>(event)
    };
    Ok(sse(stream::once(end)))
}
