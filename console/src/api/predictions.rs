//! A recording in, its prediction out.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::JobId;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use utoipa::IntoResponses;
use utoipa::openapi::{self, Ref, RefOr};

use super::model::{Accepted, Links, Prediction};
use super::scratch;
use crate::app::{App, Shared};
use crate::auth::{Caller, Predicts, Principal};
use crate::predict::{Predicted, Submission};
use crate::problem::{Problem, ProblemBody};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// A recording and how it is to be analysed.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the form; it is read part by part")]
pub(super) struct PredictionForm {
    /// The recording: WAV, MP3, M4A, FLAC, OGG, Opus, WebM and others.
    #[schema(value_type = String, format = Binary)]
    audio: Vec<u8>,
    /// How fine the result is; `utterance` by default.
    #[schema(required = false)]
    granularity: GranularityLabel,
    /// Whether `embedding.npy` is stored; true by default.
    #[schema(required = false, pattern = "^(|[Tt]rue|TRUE|[Ff]alse|FALSE|1|0|on|off|yes|no|none)$", example = "true")]
    extract_embedding: String,
    /// Roles of the channels, like `0=agent,1=customer`, or `mix` for the average of all.
    #[schema(required = false, pattern = "^(|mix|0=(agent|customer|speaker),1=(agent|customer|speaker))$")]
    channels: String,
    /// The call's own number.
    #[schema(required = false, max_length = 200, pattern = "^[^\\u0000]*$")]
    call_id: String,
    /// Agent.
    #[schema(required = false, max_length = 200, pattern = "^[^\\u0000]*$")]
    agent: String,
    /// Team of the agent.
    #[schema(required = false, max_length = 200, pattern = "^[^\\u0000]*$")]
    team: String,
    /// Customer.
    #[schema(required = false, max_length = 200, pattern = "^[^\\u0000]*$")]
    customer: String,
}

/// A granularity, as a form names it.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the form; it is read part by part")]
pub(super) enum GranularityLabel {
    Utterance,
    Frame,
}

/// Recognise a recording
///
/// The address of emotion2vec+'s own web application. Takes a form with the part `audio`, Gradio's JSON
/// (`{"data": [FILE, granularity, extract_embedding]}`), or the bytes of the file as `audio/*`.
#[utoipa::path(
    post, path = "/api/predict/", operation_id = "predict", tag = "predictions",
    request_body(content((PredictionForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The prediction", body = Prediction),
        (status = 202, description = "Not done within console.predict_wait_s", body = Accepted),
        UploadRefusals,
    )
)]
pub(crate) async fn predict(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Predicts>,
    request: Request,
) -> Result<Response, Problem> {
    app.answer(&caller, request, false).await
}

/// Recognise a recording
///
/// As `/api/predict/`. With `Prefer: respond-async` the answer is 202 at once. With `Idempotency-Key`, the same request
/// again within a day gives the same job.
#[utoipa::path(
    post, path = "/api/v1/predictions", operation_id = "create_prediction", tag = "predictions",
    params(
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer 202 at once"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters"),
    ),
    request_body(content((PredictionForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The prediction", body = Prediction),
        (status = 202, description = "Accepted; `Location` has the analysis", body = Accepted),
        UploadRefusals,
    )
)]
pub(super) async fn create(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Predicts>,
    request: Request,
) -> Result<Response, Problem> {
    app.answer(&caller, request, true).await
}

/// An error, by RFC 9457.
#[derive(utoipa::ToResponse)]
#[response(description = "An error, by RFC 9457", content_type = "application/problem+json")]
#[expect(dead_code, reason = "describes an answer")]
pub(super) struct Refused(ProblemBody);

/// The errors of a request with a recording.
struct UploadRefusals;

impl IntoResponses for UploadRefusals {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let statuses = [400, 401, 403, 408, 409, 410, 413, 415, 422, 429, 500, 503];
        let refused = || RefOr::Ref(Ref::from_response_name("Refused"));
        statuses.into_iter().map(|status: u16| (status.to_string(), refused())).collect()
    }
}

impl App {
    async fn answer(self: &Arc<Self>, caller: &Principal, request: Request, plain: bool) -> Result<Response, Problem> {
        let begun = Instant::now();
        let (key, at_once) = preferences(request.headers())?;
        let (received, workers) = tokio::join!(self.receive(request, 1), self.workers.require());
        let mut received = received?;
        workers?;
        let gradio = received.gradio && !plain;
        let file = received.files.pop().ok_or_else(|| Problem::not_found("file"))?;
        let submission = Submission::new(file, &received.fields);
        let job = self.submit_once(caller, submission, key.as_deref()).await?;
        let limit = if at_once { Duration::ZERO } else { Duration::from_secs(self.settings.console.predict_wait_s) };
        let prediction = if at_once { None } else { self.prediction(job, limit).await? };
        let Some(Predicted { prediction, large }) = prediction else { return Ok(accepted(job)) };
        if gradio {
            return scratch::json(self, GradioAnswer::new(prediction, begun.elapsed()), large).await;
        }
        let location = [(header::CONTENT_LOCATION, prediction.links.this.clone())];
        Ok((location, scratch::json(self, prediction, large).await?).into_response())
    }
}

/// `Idempotency-Key`, and whether the caller prefers not to wait.
fn preferences(headers: &HeaderMap) -> Result<(Option<String>, bool), Problem> {
    let key = headers.get(IDEMPOTENCY_KEY).map(|key| key.to_str().map(str::to_owned)).transpose();
    let key = key.map_err(|_| Problem::bad_request("`Idempotency-Key` has characters other than ASCII."))?;
    let prefer = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let at_once = prefer
        .flat_map(|value| value.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"));
    Ok((key, at_once))
}

fn accepted(job: JobId) -> Response {
    let links = Links::of(job, None);
    let headers = [(header::LOCATION, links.this.clone()), (header::RETRY_AFTER, "1".to_owned())];
    (StatusCode::ACCEPTED, headers, Json(Accepted { job_id: job.0, status: "queued", links })).into_response()
}

/// Gradio's answer, with the prediction's own keys beside `data`.
struct GradioAnswer {
    prediction: Prediction,
    took: Duration,
    average_s: f64,
}

impl GradioAnswer {
    fn new(prediction: Prediction, took: Duration) -> Self {
        Self { prediction, took, average_s: average(took) }
    }
}

impl Serialize for GradioAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(flatten)]
            prediction: &'a Prediction,
            data: [&'a Prediction; 1],
            is_generating: bool,
            duration: f64,
            average_duration: f64,
        }
        let Self { prediction, took, average_s } = self;
        let duration = took.as_secs_f64();
        let fields =
            Fields { prediction, data: [prediction], is_generating: false, duration, average_duration: *average_s };
        fields.serialize(serializer)
    }
}

/// Mean seconds of the answers to Gradio's clients so far.
fn average(took: Duration) -> f64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    static MILLISECONDS: AtomicU64 = AtomicU64::new(0);
    let ms = u64::try_from(took.as_millis()).unwrap_or_default();
    let total = MILLISECONDS.fetch_add(ms, Ordering::Relaxed) + ms;
    total as f64 / (CALLS.fetch_add(1, Ordering::Relaxed) + 1) as f64 / 1000.0
}
