//! The store's answers, mapped to failure codes.

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use domain::{Failure, FailureCode};
use std::error::Error;

use crate::cause;

/// The HTTP status of an answer; `None` when none came.
pub(super) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// A failed request, with what was being done.
pub(super) fn failure<E>(doing: &str, error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let said = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    let code = match (status(error), said) {
        (_, "NoSuchBucket") => FailureCode::StoreDenied,
        // An upload in parts that was completed by a request whose answer was lost; or aborted by a rule of the bucket.
        (_, "NoSuchUpload") => FailureCode::StoreUnreachable,
        (_, "NoSuchKey") | (Some(404), _) => FailureCode::ObjectNotFound,
        (Some(412), _) => FailureCode::ObjectChanged,
        // 416: all of it had come, and was not what its checksum says, or its end did not come.
        (Some(408 | 416 | 425 | 429), _) | (Some(400), "RequestTimeout") => FailureCode::StoreUnreachable,
        // AWS answers these with 400, too.
        (Some(400), "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "AuthorizationHeaderMalformed") => {
            FailureCode::StoreDenied
        }
        // The key that encrypts the bucket can't be used: no fault of the request.
        (Some(400), said) if said.starts_with("KMS.") => FailureCode::StoreDenied,
        // For good: the bucket is elsewhere.
        (Some(301 | 308 | 401 | 403), _) => FailureCode::StoreDenied,
        (Some(400..=499), _) => FailureCode::StoreRefused,
        (None, _) if cause::tls(error).is_some() => FailureCode::StoreDenied,
        _ => FailureCode::StoreUnreachable,
    };
    let answer = match (status(error), said) {
        (Some(status), "") => format!("the store answered {status}"),
        (Some(status), said) => format!("the store answered {status} {said}"),
        // Without an answer the cause is deep in the chain: refused, timed out, bad certificate.
        (None, _) if cause::tls(error).is_some() => {
            format!("{}; check `s3.ca_file` and the host in `s3.endpoint`", causes(error))
        }
        (None, _) => causes(error),
    };
    Failure::new(code, format!("{doing}: {answer}{}", elsewhere(error)))
}

/// Where the bucket is, when the store says that it is not here.
fn elsewhere<E>(error: &SdkError<E>) -> String {
    let Some(answer) = error.raw_response().filter(|answer| matches!(answer.status().as_u16(), 301 | 308 | 400)) else {
        return String::new();
    };
    match answer.headers().get("x-amz-bucket-region") {
        Some(region) => format!("; the bucket is in the region `{region}`: set `s3.region`"),
        None if answer.status().as_u16() == 400 => String::new(),
        None => "; a redirect is not followed: check `s3.endpoint` and `s3.region`".into(),
    }
}

/// The innermost cause; the whole chain where it is empty.
fn causes<E: Error + 'static>(error: &SdkError<E>) -> String {
    let text = cause::innermost(error).to_string();
    if text.is_empty() { DisplayErrorContext(error).to_string() } else { text }
}

/// A failure of the connection rather than of an answer.
pub(super) fn unreachable(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::StoreUnreachable, message)
}
