//! Reviews as pages show them.

use adapters::postgres::console::{ReviewFilter, ReviewRow};
use chrono::SecondsFormat;
use domain::visible::{visible, visible_lines};
use domain::{Emotion, JobId};

use super::super::frame::Frame;
use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;

/// Most reviews of a call that are shown.
const ROWS: u32 = 100;

/// Most reviews of a call by one person that are looked through.
const OWN_ROWS: u32 = 10_000;

/// A person's review beside what the model had predicted.
pub(in crate::pages) struct KeptReview {
    pub(in crate::pages) who: String,
    /// RFC 3339.
    pub(in crate::pages) at: String,
    /// The call as a whole, or which part.
    pub(in crate::pages) about: String,
    pub(in crate::pages) model: Option<Emotion>,
    pub(in crate::pages) emotion: Emotion,
    pub(in crate::pages) agrees: bool,
    pub(in crate::pages) note: String,
}

/// The name of a reviewer, for people; that of a program with a sign of it.
pub(super) fn name(f: &Frame, reviewer: &str) -> String {
    let shown = visible(reviewer);
    match (shown.strip_prefix("user:"), shown.strip_prefix("token:")) {
        (Some(user), _) => user.to_owned(),
        (_, Some(token)) => f.w("review-program", token),
        _ => shown.into_owned(),
    }
}

/// The reviews of an analysis that the caller sees, newest first.
pub(super) async fn rows(app: &App, job: JobId) -> Result<Vec<ReviewRow>, Problem> {
    let filter = ReviewFilter { job: Some(job), ..ReviewFilter::default() };
    Ok(app.database.reviews(&filter, None, ROWS).await?)
}

/// Those that the caller gave, newest first.
pub(super) async fn own(app: &App, caller: &Principal, job: JobId) -> Result<Vec<ReviewRow>, Problem> {
    let filter = ReviewFilter { job: Some(job), reviewer: Some(caller.name()), ..ReviewFilter::default() };
    Ok(app.database.reviews(&filter, None, OWN_ROWS).await?)
}

/// The same, as pages show them.
pub(in crate::pages) async fn kept_reviews(app: &App, f: &Frame, job: JobId) -> Result<Vec<KeptReview>, Problem> {
    Ok(rows(app, job).await?.iter().map(|row| KeptReview::new(f, row)).collect())
}

impl KeptReview {
    pub(super) fn new(f: &Frame, row: &ReviewRow) -> Self {
        let channel = match row.channel {
            None => f.t("review-whole"),
            Some(None) => f.t("role-mixed"),
            Some(Some(number)) => format!("{} {number}", f.t("channel")),
        };
        let segment = row.segment.map(|number| format!(", {} {}", f.t("review-segment"), number + 1));
        Self {
            who: name(f, &row.reviewer),
            at: row.reviewed_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            about: channel + &segment.unwrap_or_default(),
            model: row.model_emotion,
            emotion: row.emotion,
            agrees: row.model_emotion == Some(row.emotion),
            note: visible_lines(&row.note).into_owned(),
        }
    }
}
