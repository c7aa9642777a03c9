//! Errors as callers see them: `application/problem+json` (RFC 9457) with a stable code.
//!
//! What a caller reads is written here, never by a service: names of buckets, tables and addresses stay in the log.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Failure, FailureCode};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// Seconds after which a caller may try again when a service does not answer.
const RETRY_AFTER_S: u32 = 5;

/// An error, as an answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code.
    pub code: &'static str,
    /// This case in one sentence.
    pub detail: String,
    /// Seconds after which trying again can help.
    pub retry_after_s: Option<u32>,
    /// Size of the file, where a range of it does not exist.
    pub total_bytes: Option<u64>,
    /// A limit or a time that the sentence of a page names.
    pub number: Option<u32>,
    /// The kind of error in words, where the code alone does not say it.
    title: Option<&'static str>,
    /// What a service or the fleet said: for the log alone.
    cause: Option<Box<Failure>>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Problem", description = "An error, by RFC 9457.")]
pub(crate) struct ProblemBody {
    /// Identifies the kind of error: `urn:emofleet:error:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of error, in words.
    title: String,
    /// HTTP status.
    #[schema(example = 415)]
    status: u16,
    /// This case in one sentence.
    detail: String,
    /// Stable code, like `audio.not_audio`.
    #[schema(example = "audio.not_audio")]
    code: String,
    /// Identifies this case in the console's log.
    instance: String,
    /// The same as `title`, where clients of Gradio look for it.
    error: String,
}

impl Problem {
    /// An error of the request itself.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, retry_after_s: None, total_bytes: None, number: None, title: None, cause: None }
    }

    /// The request can't be understood.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request.invalid", detail)
    }

    /// The request can be read, but not be done.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "request.invalid", detail)
    }

    /// What the request is about is not in a state for it; `title` says what that is.
    pub(crate) fn conflict(title: &'static str, detail: impl Into<String>) -> Self {
        Self { title: Some(title), ..Self::new(StatusCode::CONFLICT, "request.conflict", detail) }
    }

    /// The analysis has no result, or not yet.
    pub(crate) fn not_done() -> Self {
        let title = Some("The analysis has no result");
        let detail = "The analysis has no result to review yet.";
        Self { title, ..Self::new(StatusCode::CONFLICT, "analysis.not_done", detail) }
    }

    /// The request has no recording.
    pub(crate) fn no_audio() -> Self {
        let detail = "There is no audio in the request. Send the file as the part `audio` of multipart/form-data.";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "audio.missing", detail)
    }

    /// There is no such thing, or the caller may not see it.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."))
    }

    /// The request has more bytes than allowed.
    pub(crate) fn too_large(limit: u64) -> Self {
        let limit = limit as f64 / f64::from(1 << 20);
        let detail = format!("The file is larger than {limit:.1} MB. Send a shorter or a compressed recording.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", detail)
    }

    /// The request has more files than allowed.
    pub(crate) fn too_many_files(limit: usize) -> Self {
        let files = if limit == 1 { "file" } else { "files" };
        let detail = format!("At most {limit} {files} in one request.");
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "request.too_many_files", detail);
        Self { number: u32::try_from(limit).ok(), ..problem }
    }

    /// No byte of a range exists in a file of this size.
    pub(crate) fn unsatisfiable(total: u64) -> Self {
        let detail = format!("The file has {total} bytes.");
        let problem = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range.unsatisfiable", detail);
        Self { total_bytes: Some(total), ..problem }
    }

    /// The body did not arrive in time.
    pub(crate) fn timeout(limit: Duration) -> Self {
        let detail = format!("The request took longer than {} s to arrive.", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "request.timeout", detail)
    }

    /// Too many requests: another one is answered after so many seconds.
    pub(crate) fn rate_limited(seconds: u32) -> Self {
        let detail = format!("Too many requests in a short time. Wait {seconds} s.");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "request.rate_limited", detail).retry_after(seconds);
        Self { number: Some(seconds), ..problem }
    }

    /// The job was deleted while it was waited for.
    pub(crate) fn deleted() -> Self {
        Self::new(StatusCode::GONE, FailureCode::JobDeleted.code(), "The recording was deleted while it was analysed.")
    }

    /// The caller is not known.
    pub(crate) fn unauthorized() -> Self {
        let detail = "Log in, or send `Authorization: Bearer TOKEN`.";
        Self::new(StatusCode::UNAUTHORIZED, "access.unauthorized", detail)
    }

    /// The caller is known and may not do this.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "access.forbidden", detail)
    }

    /// Trying again later can help.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(RETRY_AFTER_S)
    }

    /// A defect of the console, or a result that it can't read.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "console.internal", detail)
    }

    /// Says when to try again.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    fn away(service: &str, failure: Failure) -> Self {
        let problem =
            Self::unavailable(failure.code.code(), format!("{service} does not answer. Try again in a moment."));
        Self { cause: Some(Box::new(failure)), ..problem }
    }

    /// Writes an error of the fleet to the log; callers find the line by `instance`.
    pub(crate) fn log(&self, instance: &str) {
        if self.status.is_server_error() {
            let cause = self.cause.as_ref().map(tracing::field::display);
            tracing::warn!(code = self.code, instance, detail = self.detail, cause, "answered {}", self.status);
        }
    }

    fn title(&self) -> &'static str {
        self.title.unwrap_or_else(|| self.title_of_code())
    }

    fn title_of_code(&self) -> &'static str {
        match self.code {
            "request.too_large" => "The upload is too large",
            "request.too_many_files" => "Too many files",
            "job.deleted" => "The recording was deleted",
            "request.rate_limited" => "Too many requests",
            "request.timeout" => "The upload took too long",
            "request.media_type" => "Unsupported content type",
            "request.method" => "Method not allowed",
            "request.host" => "Unknown host name",
            "request.origin" => "Request from another site",
            "request.conflict" => "Idempotency key used before",
            "worker.none" => "No worker is running",
            "access.unauthorized" => "Login required",
            "access.forbidden" => "Not allowed",
            "not_found" | "object.not_found" => "Not found",
            "range.unsatisfiable" => "Range not satisfiable",
            "audio.missing" => "No recording in the request",
            code if code.starts_with("audio.") => "The recording can't be scored",
            code if self.status.is_server_error() || FailureCode::from_code(code).is_some() => "The request failed",
            _ => "The request is not valid",
        }
    }

    /// The body, with an identity of its own.
    pub(crate) fn body(&self) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:emofleet:error:{}", self.code),
            title: self.title().into(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.into(),
            instance: format!("urn:uuid:{}", Uuid::now_v7()),
            error: self.title().into(),
        }
    }
}

/// A failure of a job or a service. What services say is kept for the log.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        use FailureCode as F;
        let code = failure.code.code();
        let status = match failure.code {
            F::AudioNotAudio | F::AudioUnsupportedCodec => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            F::AudioTooLong | F::ObjectTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            F::AudioEmpty
            | F::AudioBadHeader
            | F::AudioCorrupt
            | F::AudioTruncated
            | F::AudioTooShort
            | F::AudioTooCostly
            | F::AudioTooManyChannels
            | F::AudioNoSpeech
            | F::ChannelsMissing
            | F::ChannelsNoneScored => StatusCode::UNPROCESSABLE_ENTITY,
            F::StoreUnreachable | F::StoreDenied => return Self::away("The object store", failure),
            F::DatabaseUnreachable | F::DatabaseRefused | F::DatabaseNotMigrated => {
                return Self::away("The database", failure);
            }
            F::BrokerUnreachable | F::BrokerRefused => return Self::away("The message broker", failure),
            F::JobDeleted => return Self::deleted(),
            F::ObjectNotFound => return Self::new(StatusCode::NOT_FOUND, code, "The stored file is gone."),
            // All are named: a new code has to be given its place.
            F::JobUnreadable
            | F::JobUnknownVersion
            | F::JobInvalid
            | F::JobIdentityMismatch
            | F::JobKilledWorker
            | F::JobDeliveryLimit
            | F::JobExpired
            | F::JobQueueFull
            | F::JobSetAside
            | F::JobTimeout
            | F::JobCancelled
            | F::ObjectChanged
            | F::StoreRefused
            | F::ModelMismatch
            | F::ModelFailed
            | F::ConfigInvalid
            | F::WorkerNoSpace
            | F::WorkerInternal => {
                let detail =
                    "The recording could not be processed by the fleet. Its operator finds the reason by the code.";
                let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail);
                return Self { cause: Some(Box::new(failure)), ..problem };
            }
        };
        Self::new(status, code, sentence(&failure.message))
    }
}

/// A failure's message as a sentence: capital first, full stop last.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let rest = letters.as_str().trim_end_matches('.');
    format!("{first}{rest}.")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.body();
        self.log(&body.instance);
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(Ok(range)) = self.total_bytes.map(|total| HeaderValue::from_str(&format!("bytes */{total}"))) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For pages, which have sentences of their own.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_read_what_is_wrong_with_a_recording_and_not_what_a_service_says() {
        let caller = Problem::from(Failure::new(FailureCode::AudioNoSpeech, "no speech in 2.0 s of audio"));
        assert_eq!((caller.status.as_u16(), caller.detail.as_str()), (422, "No speech in 2.0 s of audio."));
        let header = Problem::from(Failure::new(FailureCode::AudioBadHeader, "0 Hz"));
        assert_eq!(header.status.as_u16(), 422);
        let ours = Problem::from(Failure::new(FailureCode::StoreUnreachable, "http://10.0.0.7:9000 refused"));
        assert_eq!(ours.status.as_u16(), 503);
        assert!(!ours.detail.contains("10.0.0.7") && ours.retry_after_s.is_some());
        assert!(!serde_json::to_string(&ours.body()).expect("JSON").contains("10.0.0.7"));
        for code in [FailureCode::DatabaseNotMigrated, FailureCode::BrokerRefused] {
            assert_eq!(Problem::from(Failure::new(code, "")).status.as_u16(), 503);
        }
    }

    #[test]
    fn what_is_wrong_with_a_recording_is_never_an_error_of_the_console() {
        for code in FailureCode::ALL {
            let of_the_recording = code.code().starts_with("audio.") || code.code().starts_with("channels.");
            let problem = Problem::from(Failure::new(*code, "so"));
            assert!(!of_the_recording || problem.status.is_client_error(), "{code}: {}", problem.status);
        }
        assert_eq!(Problem::from(Failure::new(FailureCode::AudioTooCostly, "")).status.as_u16(), 422);
    }

    #[test]
    fn each_conflict_has_a_title_of_its_own() {
        let unfinished = Problem::conflict("The analysis has not ended", "Wait for its end.").body();
        assert_eq!(
            (unfinished.title.as_str(), unfinished.error.as_str()),
            ("The analysis has not ended", "The analysis has not ended")
        );
        let reused = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "request.conflict", "").body();
        assert_eq!(reused.title, "Idempotency key used before");
    }
}
