//! How far a job is, as server-sent events.

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::JobId;
use futures_util::{Stream, stream};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

use super::predictions::Refused;
use crate::app::Shared;
use crate::auth::{Caller, Follows};
use crate::extract::Path;
use crate::predict::{Progress, Stage};
use crate::problem::Problem;

/// Proxies close idle connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The lines of one event.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
struct ProgressEvent {
    /// `progress`, `done`, `failed` or `deleted`.
    event: String,
    /// JSON: `stage` (`queued`, `retrying`, `taken`, `fetch`, `analyze`, `upload`, `done`, `failed`, `deleted`), and,
    /// where known, `place` of `waiting` in the queue, `worker`, `done` segments of the `total` found so far, and `code`.
    #[schema(example = r#"{"stage":"analyze","worker":"w1","done":3,"total":5}"#)]
    data: String,
}

/// Follow an analysis
///
/// Server-sent events: `progress` with each change, and at the end `done`, `failed` or `deleted`.
#[utoipa::path(
    get, path = "/api/v1/analyses/{job_id}/events", operation_id = "follow_analysis", tag = "analyses", params(("job_id" = Uuid, Path)),
    responses((status = 200, description = "Events", body = ProgressEvent, content_type = "text/event-stream"),
        (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn stream(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Follows>,
    Path(job): Path<Uuid>,
) -> Result<Response, Problem> {
    let job = JobId(job);
    let row = app.visible(job, &caller).await?;
    let now = Progress::of(row.status, row.worker, row.failure);
    Ok(sse(events(app.hub.watch_from(job, now))))
}

/// An answer of events that proxies do not buffer.
pub(crate) fn sse<S>(events: S) -> Response
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no"), (header::CACHE_CONTROL, "no-cache")];
    (unbuffered, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
}

fn events(progress: watch::Receiver<Progress>) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some((progress, true)), |state| async move {
        let (mut progress, first) = state?;
        if !first {
            progress.changed().await.ok()?;
        }
        let now = progress.borrow_and_update().clone();
        let name = match now.stage {
            Stage::Done => "done",
            Stage::Failed => "failed",
            Stage::Deleted => "deleted",
            _ => "progress",
        };
        let event = Event::default().event(name).json_data(&now).unwrap_or_default();
        Some((Ok(event), (!now.ended()).then_some((progress, false))))
    })
}
