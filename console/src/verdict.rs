//! What a person says the emotion was, kept beside what the model predicted. Neither ever replaces the other.

use adapters::postgres::{Import, Review, Status};
use axum::http::StatusCode;
use domain::{Emotion, JobId};

use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;

/// Longest note, characters.
pub(crate) const MAX_NOTE: usize = 2000;

/// A verdict on a call, one of its channels or a segment.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// The emotion.
    pub emotion: Emotion,
    /// Channel number from 0; `None`: the call as a whole or, with a segment, its only scored channel.
    pub channel: Option<u16>,
    /// The segment's number within the channel, from 0.
    pub segment: Option<u32>,
    /// A remark.
    pub note: String,
}

impl App {
    /// Keeps a caller's verdict. A newer one of the same caller on the same replaces the older one; those of others stay.
    ///
    /// # Errors
    /// 400 and 422 for the note, 404 for what the caller does not see or is not there, 409 without a result.
    pub(crate) async fn keep_verdict(&self, caller: &Principal, job: JobId, verdict: Verdict) -> Result<(), Problem> {
        if verdict.note.contains('\0') {
            return Err(Problem::bad_request("A parameter contains a NUL character."));
        }
        if verdict.note.chars().count() > MAX_NOTE {
            return Err(Problem::unprocessable(format!("`note` has at most {MAX_NOTE} characters.")));
        }
        if self.visible(job, caller).await?.status != Status::Done {
            return Err(Problem::not_done());
        }
        let review = Review {
            job_id: Some(job),
            call_id: None,
            key: None,
            channel: verdict.channel,
            segment: verdict.segment,
            at_s: None,
            // A program and a person of the same name are two reviewers.
            reviewer: caller.name(),
            reviewed_at: None,
            emotion: verdict.emotion,
            note: verdict.note,
        };
        let imported = self.database.import_reviews(&[review], Import::Whole).await?;
        let Some(unplaced) = imported.unplaced.first() else { return Ok(()) };
        let detail = format!("The verdict can't be placed: {}.", unplaced.problem);
        Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail))
    }
}
