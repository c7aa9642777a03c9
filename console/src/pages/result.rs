//! One recording's result, or how far it is.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

use adapters::postgres::Status;
use adapters::postgres::console::AnalysisRow;
use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{TimeDelta, Utc};
use domain::report::ChannelReport;
use domain::visible::visible;
use domain::{JobId, Report};
use speech::artifacts::AudioFormat;
use uuid::Uuid;

use super::error::sentence;
use super::frame::{Frame, html};
use super::review::{KeptReview, kept_reviews};
use super::snippets::Snippets;
use super::view::{self, Bar, LogLine};
use crate::api::model::{Links, file_name};
use crate::app::{App, Shared};
use crate::auth::{Caller, Capability, Follows, Principal};
use crate::extract::Path;
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage {
    f: Frame,
    name: String,
    row: AnalysisRow,
    report: Report,
    bars: Vec<Bar>,
    log: Vec<LogLine>,
    links: Links,
    /// Name of the audio copy; empty where none is kept.
    audio_name: &'static str,
    listen: bool,
    data: String,
    curl: String,
    python: String,
    unpredicted: Vec<&'static str>,
    /// The channels with scores.
    scored: Vec<ChannelReport>,
    /// Roles of a two-channel recording, exchanged.
    swapped: Option<String>,
    /// What people said; `None` for readers who do not see it.
    reviews: Option<Vec<KeptReview>>,
    may_review: bool,
}

impl ResultPage {
    fn channels(&self) -> String {
        self.f.n("fact-channels", &f64::from(self.report.audio.channels))
    }

    /// The number of a channel as the API's parameter; empty for the mix of all.
    fn number(channel: &ChannelReport) -> String {
        channel.channel.map(|number| number.to_string()).unwrap_or_default()
    }

    fn clock(seconds: &f64) -> String {
        view::clock(seconds)
    }

    fn percent(probability: &f32) -> String {
        view::percent(probability)
    }
}

#[derive(Template)]
#[template(path = "progress.html")]
struct ProgressPage {
    f: Frame,
    job: JobId,
    name: String,
    row: AnalysisRow,
    workers: bool,
}

#[derive(Template)]
#[template(path = "failed.html")]
struct FailedPage {
    f: Frame,
    job: JobId,
    name: String,
    code: &'static str,
    sentence: String,
    again: bool,
}

/// A short recording is analysed sooner than this: its page waits, rather than show the progress for a moment.
const SOON: TimeDelta = TimeDelta::milliseconds(700);

/// `GET /recognise/{job_id}`
pub(super) async fn page(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Follows>,
    f: Frame,
    Path(job): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = JobId(job);
    let mut row = app.visible(job, &caller).await?;
    if !matches!(row.status, Status::Done | Status::Failed) && row.submitted_at > Utc::now() - SOON {
        app.hub.ended(job, SOON.to_std().unwrap_or_default()).await;
        row = app.visible(job, &caller).await?;
    }
    let name = visible(file_name(&row.recording.key)).into_owned();
    match (row.status, &row.failure) {
        (Status::Done, _) => done(&app, f, row, name, &caller, &headers).await,
        (Status::Failed, Some(failure)) => {
            let (code, again) = (failure.code.code(), failure.class() == domain::Class::Transient);
            let sentence = sentence(&f, &failure.clone().into());
            html(&FailedPage { f, job, name, code, sentence, again })
        }
        _ => {
            let workers = app.workers.running_for(&row.model_name).await;
            html(&ProgressPage { f, job, name, row, workers })
        }
    }
}

async fn done(
    app: &App,
    f: Frame,
    row: AnalysisRow,
    name: String,
    caller: &Principal,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (report, artifacts) = app.report(row.job_id).await?;
    let bars = view::bars(&report);
    let unpredicted = bars.iter().filter(|bar| bar.unpredicted).map(|bar| f.emotion(&bar.emotion)).collect();
    let snippets = Snippets::new(headers, app.settings.console.secure_cookie, &name, &row.options, &row.recording.call);
    let swapped = view::swapped(&report);
    let reads = caller.may(Capability::Read);
    let reviews = if reads { Some(kept_reviews(app, &f, row.job_id).await?) } else { None };
    html(&ResultPage {
        swapped,
        scored: report.channels.iter().filter(|channel| channel.scored).cloned().collect(),
        log: view::log(&row),
        data: view::script_data(&report, |emotion| f.emotion(&emotion), |role| f.t(&format!("role-{}", role.label()))),
        curl: snippets.curl(),
        python: snippets.python(),
        links: Links::of(row.job_id, Some(&artifacts)),
        audio_name: artifacts.audio_key.as_deref().and_then(AudioFormat::of).map_or("", AudioFormat::file_name),
        bars,
        unpredicted,
        listen: caller.may(Capability::Listen),
        reviews,
        may_review: reads && caller.may(Capability::Review),
        name,
        row,
        report,
        f,
    })
}
