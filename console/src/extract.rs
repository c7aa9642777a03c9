//! axum's extractors, whose rejections are problems as well.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::time::Duration;

use crate::app::{App, Shared};
use crate::problem::Problem;

/// The query of the address.
#[derive(Debug, Clone, Copy, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Query<T>(pub T);

/// Parts of the path.
#[derive(Debug, Clone, Copy, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub T);

/// A body of JSON, at most 64 KiB, which must arrive in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<T>(pub T);

/// Longest body of JSON that is no upload, bytes.
const MAX_JSON: usize = 64 << 10;

impl<T: DeserializeOwned> FromRequest<Shared> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !(essence.starts_with("application/") && essence.ends_with("+json")) {
            let detail = "Send the body as application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.media_type", detail));
        }
        let body = app.small_body(request, MAX_JSON).await?;
        Ok(Self(Json::from_bytes(&body)?.0))
    }
}

impl App {
    /// The whole body of a request that is no upload.
    ///
    /// # Errors
    /// 408 when it takes longer than `console.request_timeout_s`, 413 above `most` bytes, 400 when it breaks off.
    pub(crate) async fn small_body(&self, request: Request, most: usize) -> Result<Vec<u8>, Problem> {
        let limit = Duration::from_secs(self.settings.console.request_timeout_s);
        let reading = async {
            let (mut stream, mut body) = (request.into_body().into_data_stream(), Vec::new());
            while let Some(chunk) = stream.next().await {
                let chunk =
                    chunk.map_err(|_| Problem::bad_request("The request ended before its end was announced."))?;
                if body.len() + chunk.len() > most {
                    return Err(Problem::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "request.too_large",
                        "The body is too long.",
                    ));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| Err(Problem::timeout(limit)))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            // The text describes the body only.
            StatusCode::UNPROCESSABLE_ENTITY => Self::unprocessable(format!("{}.", rejection.body_text())),
            _ => Self::bad_request(format!("{}.", rejection.body_text())),
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(format!("The query can't be read: {}.", rejection.body_text()))
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        // What does not parse as an id names nothing.
        Self::not_found("page")
    }
}
