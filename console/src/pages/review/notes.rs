//! What became of the review before: said above the next call.

use domain::JobId;
use domain::visible::visible;
use uuid::Uuid;

use super::super::frame::Frame;
use super::{Asked, kept};
use crate::api::model::file_name;
use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;

/// A sentence, and the page of the call that it is about.
pub(super) struct Note {
    pub(super) text: String,
    pub(super) warns: bool,
    pub(super) link: Option<String>,
}

/// The sentences that an address asks for. What they say is read again: an address can't make a page say anything else.
pub(super) async fn of(app: &App, f: &Frame, caller: &Principal, asked: &Asked) -> Result<Vec<Note>, Problem> {
    let mut notes = Vec::new();
    if asked.unsaved.is_some() {
        notes.push(Note { text: f.t("review-unsaved"), warns: true, link: None });
    }
    if asked.gone.is_some() {
        notes.push(Note { text: f.t("review-gone"), warns: true, link: None });
    }
    for (job, saved) in [(asked.saved, true), (asked.kept, false)] {
        if let Some(job) = job {
            notes.extend(about(app, f, caller, job, saved).await?);
        }
    }
    Ok(notes)
}

async fn about(app: &App, f: &Frame, caller: &Principal, job: Uuid, saved: bool) -> Result<Vec<Note>, Problem> {
    let job = JobId(job);
    // Deleted since.
    let Some(row) = app.database.analysis(job, caller.team.as_deref()).await? else { return Ok(Vec::new()) };
    let (rows, me) = (kept::rows(app, job).await?, caller.name());
    let Some(mine) = kept::own(app, caller, job).await?.into_iter().next() else { return Ok(Vec::new()) };
    let call = row.recording.call.call_id.as_deref().unwrap_or_else(|| file_name(&row.recording.key));
    let said = format!("{} {} · {}", mine.emotion.emoji(), f.emotion(&mine.emotion), visible(call));
    let link = Some(format!("/review/{job}"));
    let mut notes = vec![if saved {
        Note { text: f.w("review-saved", &said), warns: false, link }
    } else {
        Note { text: f.w("review-kept", &said), warns: true, link }
    }];
    if let Some(other) = rows.iter().find(|row| row.reviewer != me).filter(|_| saved) {
        let said =
            format!("{} ({} {})", kept::name(f, &other.reviewer), other.emotion.emoji(), f.emotion(&other.emotion));
        notes.push(Note {
            text: f.w("review-others", &said),
            warns: true,
            link: Some(format!("/recognise/{job}#reviews")),
        });
    }
    Ok(notes)
}
