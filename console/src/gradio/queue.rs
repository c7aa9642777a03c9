//! `/queue/join` and `/queue/data`: a job, and its result as events of its session.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use domain::JobId;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::model::Prediction;
use crate::api::sse;
use crate::app::{App, Shared};
use crate::auth::{Caller, Predicts, Principal};
use crate::extract::Query;
use crate::guard::Turn;
use crate::predict::{Predicted, Submission};
use crate::problem::Problem;

/// How long a session without a reader is kept.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Longest wait for a job.
const LONGEST: Duration = Duration::from_secs(3600);

/// Jobs whose results were not read yet, by caller and session: a client chooses the name of its session, and some send
/// none, so the name alone does not say whose results they are.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Jobs>);

type Jobs = HashMap<(String, String), (Instant, VecDeque<JobId>)>;

impl Sessions {
    fn push(&self, caller: &str, session: &str, job: JobId) {
        let mut sessions = self.sessions();
        let key = (caller.to_owned(), session.to_owned());
        let (since, jobs) = sessions.entry(key).or_insert_with(|| (Instant::now(), VecDeque::new()));
        *since = Instant::now();
        jobs.push_back(job);
    }

    fn pop(&self, caller: &str, session: &str) -> Option<JobId> {
        let mut sessions = self.sessions();
        let key = (caller.to_owned(), session.to_owned());
        let job = sessions.get_mut(&key)?.1.pop_front();
        if job.is_none() {
            sessions.remove(&key);
        }
        job
    }

    fn sessions(&self) -> MutexGuard<'_, Jobs> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, (since, _)| since.elapsed() < PATIENCE);
        sessions
    }
}

impl App {
    /// Submits a job of Gradio's JSON; gives it with its session.
    pub(super) async fn join(
        self: &Arc<Self>,
        caller: &Principal,
        request: Request,
    ) -> Result<(JobId, Option<String>), Problem> {
        let (received, workers) = tokio::join!(self.receive(request, 1), self.workers.require());
        let mut received = received?;
        workers?;
        let file = received.files.pop().ok_or_else(|| Problem::not_found("file"))?;
        let job = self.submit_once(caller, Submission::new(file, &received.fields), None).await?;
        Ok((job, received.session))
    }

    /// The result, or the failure as a sentence. A large result is sent as one event, from memory: few are at once.
    pub(super) async fn output(&self, job: JobId) -> Result<Output, String> {
        let refused = |problem: Problem| {
            problem.log(&format!("job {job}"));
            format!("{} ({})", problem.detail, problem.code)
        };
        match self.prediction(job, LONGEST).await {
            Ok(Some(Predicted { prediction, large: None })) => Ok(Output { prediction, sending: None }),
            Ok(Some(Predicted { prediction, large: Some(_read) })) => {
                let sending = self.limits.large_answers.turn().await.map_err(refused)?;
                Ok(Output { prediction, sending: Some(sending) })
            }
            Ok(None) => Err("The job takes longer than an hour.".into()),
            Err(problem) => Err(refused(problem)),
        }
    }
}

/// A prediction that is to be sent.
pub(super) struct Output {
    pub(super) prediction: Prediction,
    /// Of a large one, until its reader has it, or the connection is closed.
    pub(super) sending: Option<Turn>,
}

/// `POST /queue/join`
pub(super) async fn join(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Predicts>,
    request: Request,
) -> Result<Json<Value>, Response> {
    let (job, session) = app.join(&caller, request).await.map_err(refused)?;
    app.sessions.push(&caller.name(), session.as_deref().unwrap_or_default(), job);
    Ok(Json(json!({ "event_id": job.0.simple().to_string() })))
}

/// A problem as Gradio's clients read it here: `gradio_client` 2 fails on a 422 whose `detail` is no list.
fn refused(problem: Problem) -> Response {
    if problem.status != StatusCode::UNPROCESSABLE_ENTITY {
        return problem.into_response();
    }
    let sentence = format!("{} ({})", problem.detail, problem.code);
    let detail = json!([{
        "__type__": "validate", "is_valid": false, "parameter_name": "audio", "message": sentence,
        "loc": ["body", "data"], "msg": sentence, "type": problem.code,
    }]);
    (problem.status, Json(json!({ "detail": detail, "code": problem.code, "error": sentence }))).into_response()
}

#[derive(Deserialize)]
pub(super) struct DataQuery {
    session_hash: String,
}

/// `GET /queue/data?session_hash=`
pub(super) async fn data(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Predicts>,
    Query(DataQuery { session_hash }): Query<DataQuery>,
) -> Response {
    let caller = caller.name();
    sse(stream::unfold(Step::Next(None), move |step| {
        let (app, caller, session) = (app.clone(), caller.clone(), session_hash.clone());
        async move { advance(&app, &caller, &session, step).await }
    }))
}

/// What a reader of a session gets next.
enum Step {
    /// The next job; the large result before, if there was one, has been sent.
    Next(Option<Turn>),
    Starts(JobId),
    Ends(JobId),
    Closed,
}

/// Gradio's `process_completed`.
#[derive(Serialize)]
struct Completed<T> {
    msg: &'static str,
    event_id: String,
    output: T,
    success: bool,
    title: &'static str,
}

/// The output of a job that is done.
#[derive(Serialize)]
struct Data<'a> {
    data: [&'a Prediction; 1],
    is_generating: bool,
    duration: f64,
    average_duration: f64,
}

async fn advance(app: &App, caller: &str, session: &str, step: Step) -> Option<(Result<Event, Infallible>, Step)> {
    let text = |message: Value| Event::default().data(message.to_string());
    let (event, step) = match step {
        Step::Closed => return None,
        Step::Next(_sent) => match app.sessions.pop(caller, session) {
            None => (text(json!({"msg": "close_stream", "event_id": null})), Step::Closed),
            Some(job) => {
                let id = job.0.simple().to_string();
                let message =
                    json!({"msg": "estimation", "event_id": id, "rank": 0, "queue_size": 1, "rank_eta": null});
                (text(message), Step::Starts(job))
            }
        },
        Step::Starts(job) => {
            let message = json!({"msg": "process_starts", "event_id": job.0.simple().to_string(), "eta": null});
            (text(message), Step::Ends(job))
        }
        Step::Ends(job) => completed(job, Instant::now(), app.output(job)).await,
    };
    Some((Ok(event), step))
}

async fn completed(job: JobId, begun: Instant, output: impl Future<Output = Result<Output, String>>) -> (Event, Step) {
    let (msg, event_id, title) = ("process_completed", job.0.simple().to_string(), "Error");
    match output.await {
        Ok(Output { prediction, sending }) => {
            let duration = begun.elapsed().as_secs_f64();
            let output = Data { data: [&prediction], is_generating: false, duration, average_duration: duration };
            (
                json_event(Event::default(), Completed { msg, event_id, output, success: true, title }),
                Step::Next(sending),
            )
        }
        Err(sentence) => {
            let output = json!({ "error": sentence });
            (json_event(Event::default(), Completed { msg, event_id, output, success: false, title }), Step::Next(None))
        }
    }
}

/// An event with this as JSON. What else it has must be set before: Gradio's clients read line by line, the name first.
pub(super) fn json_event(event: Event, data: impl Serialize) -> Event {
    event.json_data(data).unwrap_or_else(|error| {
        tracing::error!(%error, "a result can't be written as JSON");
        Event::default().event("error").data("\"The result can't be written.\"")
    })
}

/// `GET /heartbeat/{session}`: open as long as the client is there.
pub(super) async fn heartbeat(_: Caller<Predicts>) -> Response {
    sse(stream::pending())
}

/// `POST /reset`: the client no longer waits. The job goes on.
pub(super) async fn reset(_: Caller<Predicts>) -> Json<Value> {
    Json(json!({"success": true}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_session_is_read_by_the_caller_who_began_it() {
        let (sessions, job) = (Sessions::default(), JobId(Uuid::new_v4()));
        sessions.push("user:lin", "", job);
        assert_eq!(sessions.pop("user:otto", ""), None);
        assert_eq!(sessions.pop("user:lin", "s"), None);
        assert_eq!(sessions.pop("user:lin", ""), Some(job));
        assert_eq!(sessions.pop("user:lin", ""), None);
    }
}
