//! The first page: choose recordings and upload them.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use rust_embed::RustEmbed;

use super::frame::{Frame, html};
use crate::app::Shared;
use crate::auth::{Caller, Predicts};
use crate::extract::Path;
use crate::predict::{Origin, Submission};
use crate::problem::Problem;
use crate::upload::{Received, RefusedFile};

/// Most files of one upload.
const MOST_FILES: usize = 50;

/// Recordings to try the page with.
#[derive(RustEmbed)]
#[folder = "../samples"]
#[include = "*.wav"]
#[include = "*.flac"]
#[include = "*.mp3"]
#[include = "*.m4a"]
#[include = "*.opus"]
struct Samples;

#[derive(Template)]
#[template(path = "recognise.html")]
struct RecognisePage {
    f: Frame,
    max_mb: f64,
    max_bytes: u64,
    max_minutes: f64,
    max_files: f64,
    workers: bool,
    samples: Vec<&'static str>,
}

/// `GET /`
pub(super) async fn page(State(app): State<Shared>, _: Caller<Predicts>, f: Frame) -> Result<Response, Problem> {
    let console = &app.settings.console;
    html(&RecognisePage {
        f,
        max_mb: (console.upload_max_bytes as f64 / f64::from(1 << 20) * 10.0).round() / 10.0,
        max_bytes: console.upload_max_bytes,
        max_minutes: (console.upload_max_seconds as f64 / 60.0).round(),
        max_files: MOST_FILES as f64,
        workers: app.workers.running().await,
        samples: vec!["complaint_zh.flac", "thanks_en.mp3", "support_call.wav"],
    })
}

/// `POST /recognise`: redirects to the result of one file, or to the batch of several. Of several, each is taken or refused
/// by itself; the page of the batch names those that were not.
pub(super) async fn upload(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Predicts>,
    request: Request,
) -> Result<Response, Problem> {
    let Received { files, mut refused, fields, .. } = app.receive(request, MOST_FILES).await?;
    if let ([file], true) = (files.as_slice(), refused.is_empty()) {
        let job = app.submit(&caller, Submission::new(file.clone(), &fields), &Origin::today()).await?;
        return Ok(Redirect::to(&format!("/recognise/{job}")).into_response());
    }
    let (origin, mut taken) = (Origin::together(), false);
    let mut files = files.into_iter();
    while let Some(file) = files.next() {
        let name = file.name.clone();
        match app.submit(&caller, Submission::new(file, &fields), &origin).await {
            Ok(_) => taken = true,
            Err(problem) => {
                if problem.status == StatusCode::SERVICE_UNAVAILABLE {
                    // Each of the others would wait for the service as long.
                    let others = files.by_ref();
                    refused.extend(others.map(|file| RefusedFile { name: file.name, problem: problem.clone() }));
                }
                refused.push(RefusedFile { name, problem });
            }
        }
    }
    if !taken && let Some(first) = refused.first() {
        return Err(first.problem.clone());
    }
    let team = caller.team.or(fields.call.team);
    app.refusals.put(origin.id(), team, refused);
    Ok(Redirect::to(&format!("/batches/{}", origin.id())).into_response())
}

/// `GET /samples/{name}`
pub(super) async fn sample(_: Caller<Predicts>, Path(name): Path<String>) -> Result<Response, Problem> {
    let file = Samples::get(&name).ok_or_else(|| Problem::not_found("sample"))?;
    let kind = file.metadata.mimetype().to_owned();
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, kind)], file.data.into_owned()).into_response())
}
