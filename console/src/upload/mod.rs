//! Receives a request's body in every supported form: a file on disk and its options.

mod body;
pub(crate) mod fields;
mod json;
mod kept;
pub(crate) mod multipart;
mod spool;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::runtime::Handle;

pub(crate) use body::SharedBody;
pub(crate) use fields::Fields;
pub(crate) use spool::{Spool, Spooled};

use crate::app::App;
use crate::gradio::Parked;
use crate::guard::Turn;
use crate::problem::Problem;
use json::FileArgument;
use kept::Kept;
use multipart::Limits;

/// The content of a request.
#[derive(Debug)]
pub(crate) struct Received {
    /// The files; at least one.
    pub files: Vec<Spooled>,
    /// Of several files, those that can't be taken.
    pub refused: Vec<RefusedFile>,
    /// The options.
    pub fields: Fields,
    /// Whether it is Gradio's JSON, which is answered in Gradio's form.
    pub gradio: bool,
    /// Session of a Gradio client.
    pub session: Option<String>,
}

/// A file of several that can't be taken, while the others are.
#[derive(Debug, Clone)]
pub(crate) struct RefusedFile {
    /// Name that the caller gave it.
    pub name: String,
    /// Why.
    pub problem: Problem,
}

impl Received {
    /// Moves files without bytes to those refused.
    ///
    /// # Errors
    /// 422 without a file; of files that are all refused, why the first one is.
    fn without_empty_files(mut self) -> Result<Self, Problem> {
        let (files, empty): (Vec<_>, Vec<_>) = self.files.into_iter().partition(|file| file.bytes > 0);
        self.files = files;
        self.refused.extend(empty.into_iter().map(|file| {
            let detail = format!("The file `{}` has no bytes.", file.name);
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "audio.empty", detail);
            RefusedFile { name: file.name, problem }
        }));
        match (self.files.is_empty(), self.refused.first()) {
            (false, _) => Ok(self),
            (true, Some(refused)) => Err(refused.problem.clone()),
            (true, None) => Err(Problem::no_audio()),
        }
    }
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
    /// 400, 408, 413, 415, 422, 503.
    pub(crate) async fn receive(&self, request: Request, files: usize) -> Result<Received, Problem> {
        let _turn = self.limits.uploads.turn_now()?;
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = SharedBody::new(request.into_body());
        let limit = Duration::from_secs(self.settings.console.upload_timeout_s);
        let reading = self.read(content_type.as_deref(), &query, body, files);
        tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| Err(Problem::timeout(limit)))
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
                let (files, refused, fields) = multipart::read(body, boundary, limits).await?;
                Received { files, refused, fields, gradio: false, session: None }
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
        received.without_empty_files()
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
            refused: Vec::new(),
            fields,
            gradio: false,
            session: None,
        })
    }

    /// To disk first: slow senders hold neither memory nor a permit to decode.
    async fn read_json(&self, first: Vec<u8>, mut body: SharedBody) -> Result<Received, Problem> {
        let settings = &self.settings.console;
        let limit = json::json_limit(settings.upload_max_bytes);
        let mut text = Spool::begin(&settings.temp_dir, limit)?;
        // The limit that callers know is that of the file.
        let refused = |problem: Problem| match problem.status {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(settings.upload_max_bytes),
            _ => problem,
        };
        text.write(&first).await.map_err(refused)?;
        while let Some(chunk) = next(&mut body).await? {
            text.write(&chunk).await.map_err(refused)?;
        }
        let text = text.finish(None).await?;
        let turn = self.limits.json_bodies.turn().await?;
        let spool = Spool::begin(&settings.temp_dir, settings.upload_max_bytes)?;
        let (parked, runtime) = (self.parked.clone(), Handle::current());
        let decoding = tokio::task::spawn_blocking(move || decode(&text, spool, &parked, &runtime, turn));
        decoding.await.map_err(|error| {
            tracing::error!(%error, "a JSON body can't be decoded");
            Problem::internal("The body can't be decoded.")
        })?
    }
}

/// Reads a stored JSON body, and decodes its file to disk.
fn decode(text: &Spooled, spool: Spool, parked: &Parked, runtime: &Handle, _turn: Turn) -> Result<Received, Problem> {
    let text = std::fs::read(text.path()).map_err(|e| spool::disk(&e))?;
    let body = Kept::read(&text)?;
    let (file, fields) = json::arguments(&body)?;
    let session = json::session(&body)?;
    let file = match file {
        FileArgument::Inline { base64, name } => runtime.block_on(json::decode(base64, name, spool))?,
        FileArgument::Uploaded { path, name } => {
            let file = parked.get(path).ok_or_else(|| {
                Problem::unprocessable(
                    "The path was not returned by /upload, or it has expired. Upload the file again.",
                )
            })?;
            match name {
                Some(name) => file.named(name),
                None => file,
            }
        }
    };
    Ok(Received { files: vec![file], refused: Vec::new(), fields, gradio: true, session })
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
