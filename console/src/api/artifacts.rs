//! The files of an analysis: one, with `Range`, or all in one archive.

use adapters::postgres::console::{AnalysisRow, AuditEntry};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::{Failure, JobId, report::Artifacts};
use futures_util::TryStreamExt;
use serde::Deserialize;
use speech::artifacts::{AudioFormat, EMBEDDING, RESULT};
use tokio_util::sync::CancellationToken;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::blocking::BlockingStore;
use super::predictions::Refused;
use super::range;
use super::scratch::{self, Written};
use crate::app::{App, Shared};
use crate::auth::{Caller, Listens, Principal};
use crate::extract::Path;
use crate::problem::Problem;

/// Largest file that is put into an archive, bytes.
const MAX_ARCHIVED: u64 = 4 << 30;

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Kind {
    /// The audio copy: of this format only, or of the one that it has.
    Audio(Option<AudioFormat>),
    /// `result.json`
    Json,
    /// `embedding.npy`
    Npy,
}

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes an answer")]
pub(super) struct FileBytes(Vec<u8>);

/// A file in the store.
#[derive(Debug)]
struct StoredFile<'a> {
    key: &'a str,
    name: &'static str,
    content_type: &'static str,
}

impl Kind {
    /// The files of an archive.
    const ARCHIVED: [Self; 3] = [Self::Audio(None), Self::Json, Self::Npy];

    /// Every kind, by its name in addresses.
    fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let audio = AudioFormat::ALL.iter().map(|format| (format.label(), Self::Audio(Some(*format))));
        [("audio", Self::Audio(None))].into_iter().chain(audio).chain([("json", Self::Json), ("npy", Self::Npy)])
    }

    fn is_audio(self) -> bool {
        matches!(self, Self::Audio(_))
    }

    /// The file of this kind among the artifacts.
    ///
    /// # Errors
    /// 404; with the address of the audio where it has another format.
    fn file(self, artifacts: &Artifacts) -> Result<StoredFile<'_>, Problem> {
        let missing = || Problem::not_found("file");
        let (key, (name, content_type)) = match self {
            Self::Json => (&artifacts.result_key, RESULT),
            Self::Npy => (artifacts.embedding_key.as_ref().ok_or_else(missing)?, EMBEDDING),
            Self::Audio(wanted) => {
                let key = artifacts.audio_key.as_ref().ok_or_else(missing)?;
                let format = AudioFormat::of(key).ok_or_else(missing)?;
                if wanted.is_some_and(|wanted| wanted != format) {
                    let label = format.label();
                    let detail = format!("The audio of this analysis is kept as {label}: take artifacts/{label}.");
                    return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
                }
                (key, (format.file_name(), format.content_type()))
            }
        };
        Ok(StoredFile { key, name, content_type })
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let found = Self::all().find(|(known, _)| *known == name).map(|(_, kind)| kind);
        found.ok_or_else(|| {
            let known: Vec<_> = Self::all().map(|(known, _)| known).collect();
            format!("unknown kind of file, expected one of {}", known.join(", "))
        })
    }
}

impl PartialSchema for Kind {
    fn schema() -> RefOr<Schema> {
        let names = Self::all().map(|(name, _)| name);
        ObjectBuilder::new().schema_type(Type::String).description(Some("Which file.")).enum_values(Some(names)).into()
    }
}

impl ToSchema for Kind {}

/// Download one file of an analysis
///
/// `audio` is the audio that was scored (16 kHz), `json` the result, `npy` the embedding. `wav` and `flac` are the audio as well, where
/// it is kept in that format (404 otherwise). Takes `Range`.
#[utoipa::path(
    get, path = "/api/v1/analyses/{job_id}/artifacts/{kind}", operation_id = "download_artifact", tag = "analyses",
    params(("job_id" = Uuid, Path), ("kind" = Kind, Path), ("Range" = Option<String>, Header, description = "`bytes=FIRST-LAST`")),
    responses(
        (status = 200, description = "The file", content(
            (FileBytes = "audio/wav"), (FileBytes = "audio/flac"), (serde_json::Value = "application/json"), (FileBytes = "application/octet-stream"))),
        (status = 206, description = "The range", content(
            (FileBytes = "audio/wav"), (FileBytes = "audio/flac"), (serde_json::Value = "application/json"), (FileBytes = "application/octet-stream"))),
        (status = 304, description = "Unchanged"),
        (status = 307, description = "A signed link to the audio in the store, with `console.signed_links_s`"),
        (status = 401, response = Refused), (status = 403, response = Refused), (status = 404, response = Refused),
        (status = 416, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn read(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Listens>,
    Path((job, kind)): Path<(Uuid, Kind)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    artifact(&app, &caller, JobId(job), kind, &headers).await
}

/// Browsers may keep a recording's files, and ask each time whether they may still show them.
const PRIVATE: &str = "private, no-cache";

/// One file, or the range of it that the headers ask for. Playing and downloading go into the audit trail.
///
/// # Errors
/// 404, 416; 503 when a service does not answer.
pub(crate) async fn artifact(
    app: &App,
    caller: &Principal,
    job: JobId,
    kind: Kind,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let row = app.visible(job, caller).await?;
    let artifacts = row.artifacts.ok_or_else(|| Problem::not_found("file"))?;
    let StoredFile { key, name, content_type } = kind.file(&artifacts)?;
    let info = app.store.head(&artifacts.bucket, key).await?.ok_or_else(|| Problem::not_found("file"))?;
    let etag = info.etag.as_ref().map(|etag| format!("\"{etag}\""));
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(etag) = etag.as_ref().filter(|etag| range::is_known(headers, etag)) {
        let kept = [(header::CACHE_CONTROL, PRIVATE.to_owned()), (header::ETAG, etag.clone())];
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    // Of another version than the caller has, the whole file is sent.
    let same = text(header::IF_RANGE).is_none_or(|known| Some(known) == etag.as_deref());
    let range = range::wanted(text(header::RANGE).filter(|_| same), info.bytes)?;
    let action = if kind.is_audio() { "listen" } else { "download" };
    // A player reads a file in many ranges: those after the first belong to its entry.
    let begins = range.as_ref().is_none_or(|range| *range.start() == 0);
    app.note(caller, action, job, name, begins).await?;
    if let Some(links) = app.links.as_ref().filter(|_| kind.is_audio()) {
        let link = links.sign(&artifacts.bucket, key, content_type).await?;
        let headers = [(header::LOCATION, link), (header::CACHE_CONTROL, "no-store".into())];
        return Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response());
    }
    let reading = app.store.read(&artifacts.bucket, key, info.etag.as_deref(), range.clone()).await?;
    let mut response = Body::from_stream(reading.body.map_err(std::io::Error::other)).into_response();
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    set.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set.insert(header::CONTENT_LENGTH, reading.bytes.into());
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static(PRIVATE));
    let disposition = format!("{}; filename=\"{name}\"", if kind.is_audio() { "inline" } else { "attachment" });
    insert(set, header::CONTENT_DISPOSITION, &disposition);
    if let Some(etag) = etag {
        insert(set, header::ETAG, &etag);
    }
    if let Some(range) = range {
        insert(set, header::CONTENT_RANGE, &format!("bytes {}-{}/{}", range.start(), range.end(), info.bytes));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Download all files of an analysis
///
/// One archive with a folder `outputs_YYYYMMDD_HHMMSS/`.
#[utoipa::path(
    get, path = "/api/v1/analyses/{job_id}/artifacts.zip", operation_id = "download_archive", tag = "analyses", params(("job_id" = Uuid, Path)),
    responses((status = 200, description = "The archive", body = FileBytes, content_type = "application/zip"),
        (status = 401, response = Refused), (status = 403, response = Refused), (status = 404, response = Refused),
        (status = 422, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn archive(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Listens>,
    Path(job): Path<Uuid>,
) -> Result<Response, Problem> {
    zipped(&app, &caller, JobId(job)).await
}

/// All files in one archive, made on disk. Few at once, since each has its place there until it has been sent.
///
/// # Errors
/// 404; 422 for a file that is too large; 503 when a service or the disk refuses, or too many are there.
pub(crate) async fn zipped(app: &App, caller: &Principal, job: JobId) -> Result<Response, Problem> {
    let row: AnalysisRow = app.visible(job, caller).await?;
    let artifacts = row.artifacts.ok_or_else(|| Problem::not_found("file"))?;
    let turn = app.limits.archives.turn().await?;
    app.note(caller, "download", job, "artifacts.zip", true).await?;
    let folder = folder(row.finished_at.unwrap_or(row.submitted_at));
    let gone = CancellationToken::new();
    let _request = gone.clone().drop_guard();
    let (store, temp_dir) = (BlockingStore::new(&app.store, gone), app.settings.console.temp_dir.clone());
    let inside = folder.clone();
    // The turn lasts until the end of the work, which the end of the request does not end at once.
    let making = tokio::task::spawn_blocking(move || (make(&artifacts, &inside, &temp_dir, &store), turn));
    let (archive, turn) = making.await.map_err(|error| {
        tracing::error!(%error, "an archive can't be made");
        Problem::internal("The archive can't be made.")
    })?;
    let archive = archive?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_LENGTH, archive.bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{folder}.zip\"")),
    ];
    Ok((headers, archive.send(turn)).into_response())
}

/// Writes the archive, on a thread that may wait.
fn make(
    artifacts: &Artifacts,
    folder: &str,
    temp_dir: &std::path::Path,
    store: &BlockingStore,
) -> Result<Written, Problem> {
    let mut archive = ZipWriter::new(scratch::begin(temp_dir).map_err(|e| disk(&e))?);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    for kind in Kind::ARCHIVED {
        let Ok(StoredFile { key, name, .. }) = kind.file(artifacts) else { continue };
        archive.start_file(format!("{folder}/{name}"), options).map_err(|e| disk(&e.into()))?;
        let (bytes, mut file) = store.open(&artifacts.bucket, key)?;
        if bytes > MAX_ARCHIVED {
            return Err(Problem::unprocessable("A file has more than 4 GiB: download the files one by one."));
        }
        // What the store said, if it was the store.
        std::io::copy(&mut file, &mut archive)
            .map_err(|error| error.downcast::<Failure>().map_or_else(|error| disk(&error), Problem::from))?;
    }
    archive.finish().map_err(std::io::Error::from).and_then(Written::to).map_err(|e| disk(&e))
}

/// Named like the output folders of emotion2vec+'s own web application.
fn folder(at: DateTime<Utc>) -> String {
    at.format("outputs_%Y%m%d_%H%M%S").to_string()
}

fn disk(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "an archive can't be written to console.temp_dir");
    Problem::unavailable("worker.no_space", "The console can't make the archive at this moment. Try again later.")
}

impl App {
    /// Adds to the audit trail; unless `begins`, only when it has no such entry of the last hour.
    ///
    /// # Errors
    /// 503: what can't be recorded is not done.
    async fn note(
        &self,
        caller: &Principal,
        action: &str,
        job: JobId,
        detail: &str,
        begins: bool,
    ) -> Result<(), Problem> {
        let (who, address) = (caller.name(), caller.address.to_string());
        let entry = AuditEntry { who: &who, action, job_id: Some(job), detail, address: &address };
        if begins {
            self.database.audit(&entry).await?;
        } else {
            self.database.audit_hourly(&entry).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audio_is_found_under_its_own_format_and_under_none() {
        let of = |audio_key: Option<&str>| Artifacts {
            bucket: "b".into(),
            result_key: "x/result.json".into(),
            audio_key: audio_key.map(str::to_owned),
            embedding_key: None,
        };
        let flac = of(Some("x/1/processed_audio.flac"));
        let kind = |name: &str| Kind::try_from(name.to_owned()).expect("known");
        for name in ["audio", "flac"] {
            let file = kind(name).file(&flac).expect("there");
            assert_eq!((file.name, file.content_type), ("processed_audio.flac", "audio/flac"));
        }
        let refused = kind("wav").file(&flac).expect_err("of another format");
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        assert!(refused.detail.contains("take artifacts/flac"), "{}", refused.detail);
        let wav = of(Some("x/processed_audio.wav"));
        assert_eq!(kind("audio").file(&wav).ok().map(|file| file.content_type), Some("audio/wav"));
        assert!(kind("flac").file(&wav).is_err() && kind("audio").file(&of(None)).is_err());
        assert!(Kind::try_from("mp3".to_owned()).is_err_and(|error| error.contains("audio, wav, flac, json, npy")));
    }
}
