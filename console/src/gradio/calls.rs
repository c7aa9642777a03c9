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
use crate::guard::Turn;
use crate::problem::Problem;

use super::queue::{Output, json_event};

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
    let named = |name: &str| Event::default().event(name);
    let events = stream::unfold(Step::Ends, move |step| {
        let app = app.clone();
        async move {
            let (event, sending) = match step {
                Step::Sent(_sent) => return None,
                Step::Ends => match app.output(job).await {
                    Ok(Output { prediction, sending }) => (json_event(named("complete"), [prediction]), sending),
                    Err(sentence) => (json_event(named("error"), sentence), None),
                },
            };
            Some((Ok::<_, Infallible>(event), Step::Sent(sending)))
        }
    });
    Ok(sse(events))
}

/// What a reader gets next: the end of the job, then nothing. A large result is in memory until it has been sent.
enum Step {
    Ends,
    Sent(Option<Turn>),
}
