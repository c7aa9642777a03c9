//! The calls that a person should listen to, one after the other.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

mod form;
mod item;
mod kept;
mod notes;
mod place;

use adapters::postgres::console::QueuedReview;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{TimeDelta, Utc};
use domain::{Emotion, JobId};
use serde::Deserialize;
use uuid::Uuid;

pub(super) use form::save;
pub(super) use kept::{KeptReview, kept_reviews};

use self::item::Item;
use self::notes::Note;
use super::frame::{Frame, html};
use super::view;
use crate::app::{App, Shared};
use crate::auth::{Caller, Capability, Principal, Reviews};
use crate::extract::{Path, Query};
use crate::problem::Problem;

/// Days of the queue: of calls, and of alerts.
const DAYS: i64 = 30;
/// Most calls that are counted; more are shown as "100+".
const COUNTED: usize = 100;
/// Calls that were deleted since the queue was read and are passed over, before the queue counts as empty.
const TRIES: usize = 5;

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    f: Frame,
    /// How many are left, in words; empty for a call that was asked for by itself.
    left: String,
    notes: Vec<Note>,
    item: Option<Item>,
    /// Calls were passed over to come here.
    skipped: bool,
}

impl ReviewPage {
    fn clock(seconds: &f64) -> String {
        view::clock(seconds)
    }

    fn percent(probability: &f32) -> String {
        view::percent(probability)
    }

    /// The emotions, with the keys that choose them.
    fn emotions() -> impl Iterator<Item = (usize, Emotion)> {
        (1..).zip(Emotion::ALL)
    }
}

/// What the page before has to say.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// The queue begins after this place.
    after: Option<String>,
    /// A review of this analysis was saved.
    saved: Option<Uuid>,
    /// A review of this analysis was not saved: the reviewer has a newer one.
    kept: Option<Uuid>,
    /// What was to be reviewed is not there any more.
    gone: Option<String>,
    /// The review of this page was sent after the session had ended.
    unsaved: Option<String>,
}

/// Reviewers see the calls that they review.
fn refuse_blind(caller: &Principal) -> Result<(), Problem> {
    if caller.may(Capability::Read) {
        return Ok(());
    }
    Err(Problem::forbidden("This needs the permission `read` as well."))
}

/// `GET /review`: the next call of the queue.
pub(super) async fn queue(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reviews>,
    f: Frame,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    refuse_blind(&caller)?;
    let after = asked.after.as_deref().map(place::read).transpose()?;
    let since = Utc::now() - TimeDelta::days(DAYS);
    let limit = u32::try_from(COUNTED + TRIES).unwrap_or(u32::MAX);
    let mut queued = app.database.review_queue(since, caller.team.as_deref(), after, limit).await?;
    let notes = notes::of(&app, &f, &caller, &asked).await?;
    let mut item = None;
    while item.is_none() && !queued.is_empty() {
        item = read(&app, &f, &caller, queued[0]).await?;
        if item.is_none() {
            queued.remove(0);
        }
    }
    let left = match queued.len() {
        0 => String::new(),
        more if more > COUNTED => f.w("review-left-more", "100+"),
        left => f.n("review-left", &(left as f64)),
    };
    html(&ReviewPage { f, left, notes, item, skipped: after.is_some() })
}

/// A call of the queue; `None`: it was deleted meanwhile.
async fn read(app: &App, f: &Frame, caller: &Principal, queued: QueuedReview) -> Result<Option<Item>, Problem> {
    match Item::read(app, f, caller, queued.job_id, Some(queued)).await {
        Err(problem) if problem.status == StatusCode::NOT_FOUND => Ok(None),
        item => item.map(Some),
    }
}

/// `GET /review/{job_id}`: one call, whether or not it is in the queue.
pub(super) async fn one(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reviews>,
    f: Frame,
    Path(job): Path<Uuid>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    refuse_blind(&caller)?;
    let item = Item::read(&app, &f, &caller, JobId(job), None).await?;
    let notes = notes::of(&app, &f, &caller, &asked).await?;
    html(&ReviewPage { f, left: String::new(), notes, item: Some(item), skipped: false })
}
