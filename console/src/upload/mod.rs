//! Receives a request's body in every supported form: a file on disk and its options.

mod body;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod multipart;
mod spool;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;

pub(crate) use body::SharedBody;
pub(crate) use fields::Fields;
pub(crate) use spool::{Spool, Spooled};

use crate::app::App;
use crate::problem::Problem;
use json::FileArgument;
use multipart::Limits;

/// Longest name of a Gradio client's session, in bytes; clients send some ten.
const MAX_SESSION: usize = 100;

/// The content of a request.
#[derive(Debug)]
pub(crate) struct Received {
    /// The files; at least one.
    pub files: Vec<Spooled>,
    /// The options.
    pub fields: Fields,
    /// Whether it is Gradio's JSON, which is answered in Gradio's form.
    pub gradio: bool,
    /// Session of a Gradio client.
    pub session: Option<String>,
}

/// The kind of a body.
enum Kind {
    Multipart(String),
    Json,
    Raw,
}

impl App {
    /// Receives a prediction's body: a form, Gradio's JSON, or the bytes of the file alone.
    ///
    /// # Errors
    /// 400, 408, 413, 415, 422, 503; the rest of the body has been drained then.
    pub(crate) async fn receive(&self, request: Request, files: usize) -> Result<Received, Problem> {
        let Ok(_permit) = self.uploads.try_acquire() else {
            return Err(Problem::unavailable(
                "request.busy",
                "Too many uploads at this moment. Try again in a few seconds.",
            ));
        };
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = SharedBody::new(request.into_body());
        let limit = Duration::from_secs(self.settings.console.upload_timeout_s);
        let reading = self.read(content_type.as_deref(), &query, body.clone(), files);
        let received = match tokio::time::timeout(limit, reading).await {
            Ok(received) => received,
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "request.timeout",
                format!("The upload took longer than {} s.", limit.as_secs()),
            )),
        };
        if received.is_err() {
            body.drain().await;
        }
        received
    }

    async fn read(
        &self,
        content_type: Option<&str>,
        query: &str,
        mut body: SharedBody,
        files: usize,
    ) -> Result<Received, Problem> {
        let settings = &self.settings.console;
        let limits = Limits { bytes: settings.upload_max_bytes, files, folder: &settings.temp_dir };
        let received = match kind(content_type)? {
            Some(Kind::Multipart(boundary)) => {
                let (files, fields) = multipart::read(body, boundary, limits).await?;
                Received { files, fields, gradio: false, session: None }
            }
            Some(Kind::Json) => self.read_json(Vec::new(), body).await?,
            sent => {
                // Gradio 3's client sends its JSON without a content type.
                let first = next(&mut body).await?.unwrap_or_default();
                if sent.is_none() && first.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
                    self.read_json(first, body).await?
                } else {
                    self.read_raw(first, body, query).await?
                }
            }
        };
        if received.files.is_empty() {
            return Err(Problem::no_audio());
        }
        if received.files.iter().any(|file| file.bytes == 0) {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "audio.empty", "The file has no bytes."));
        }
        Ok(received)
    }

    async fn read_raw(&self, first: Vec<u8>, mut body: SharedBody, query: &str) -> Result<Received, Problem> {
        let settings = &self.settings.console;
        let mut fields = Fields::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            fields.take(&name, &value)?;
        }
        let mut spool = Spool::begin(&settings.temp_dir, settings.upload_max_bytes)?;
        spool.write(&first).await?;
        while let Some(chunk) = next(&mut body).await? {
            spool.write(&chunk).await?;
        }
        let file = spool.finish(None).await?;
        Ok(Received {
            files: if file.bytes == 0 { Vec::new() } else { vec![file] },
            fields,
            gradio: false,
            session: None,
        })
    }

    async fn read_json(&self, first: Vec<u8>, body: SharedBody) -> Result<Received, Problem> {
        // Before the body is read: each takes a few times its size of memory.
        let _decoding = self.decoding.acquire().await;
        let text = self.read_text(first, body).await?;
        let body: Value =
            serde_json::from_slice(&text).map_err(|e| Problem::bad_request(format!("The body is no JSON: {e}.")))?;
        drop(text);
        let (file, fields) = json::arguments(&body)?;
        let session = body.get("session_hash").and_then(Value::as_str).map(str::to_owned);
        if session.as_ref().is_some_and(|session| session.len() > MAX_SESSION) {
            return Err(Problem::unprocessable(format!("`session_hash` has at most {MAX_SESSION} bytes.")));
        }
        drop(body);
        Ok(Received { files: vec![self.file_of(file).await?], fields, gradio: true, session })
    }

    async fn read_text(&self, first: Vec<u8>, mut body: SharedBody) -> Result<Vec<u8>, Problem> {
        let limit = json::json_limit(self.settings.console.upload_max_bytes);
        let mut text = first;
        while let Some(chunk) = next(&mut body).await? {
            if (text.len() + chunk.len()) as u64 > limit {
                return Err(Problem::too_large(self.settings.console.upload_max_bytes));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    /// The file of an argument of Gradio's JSON.
    ///
    /// # Errors
    /// 413, 422; a path that `/upload` did not return, or that has expired, is 422.
    pub(crate) async fn file_of(&self, argument: FileArgument) -> Result<Spooled, Problem> {
        let settings = &self.settings.console;
        match argument {
            FileArgument::Inline { base64, name } => {
                let spool = Spool::begin(&settings.temp_dir, settings.upload_max_bytes)?;
                json::decode(&base64, name.as_deref(), spool).await
            }
            FileArgument::Uploaded { path, .. } => self.parked.get(&path).ok_or_else(|| {
                Problem::unprocessable(
                    "The path was not returned by /upload, or it has expired. Upload the file again.",
                )
            }),
        }
    }
}

async fn next(body: &mut SharedBody) -> Result<Option<Vec<u8>>, Problem> {
    match body.next().await {
        Some(Ok(chunk)) => Ok(Some(chunk.to_vec())),
        Some(Err(_)) => Err(Problem::bad_request("The request ended before its end was announced.")),
        None => Ok(None),
    }
}

/// `None`: the first byte decides.
fn kind(content_type: Option<&str>) -> Result<Option<Kind>, Problem> {
    let Some(content_type) = content_type else { return Ok(None) };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    match essence.as_str() {
        "multipart/form-data" => multer::parse_boundary(content_type)
            .map(|boundary| Some(Kind::Multipart(boundary)))
            .map_err(|_| Problem::bad_request("The multipart body names no boundary.")),
        "application/json" => Ok(Some(Kind::Json)),
        "" | "text/plain" => Ok(None),
        "application/octet-stream" | "application/ogg" => Ok(Some(Kind::Raw)),
        kind if kind.starts_with("audio/") || kind.starts_with("video/") => Ok(Some(Kind::Raw)),
        // A form without a file: the answer names what is missing.
        "application/x-www-form-urlencoded" => Err(Problem::no_audio()),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "request.media_type",
            "Send multipart/form-data with the part `audio`, application/json, or the bytes as audio/*.",
        )),
    }
}
