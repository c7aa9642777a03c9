//! The form of a review: keeps it, and leads to the next call.

use adapters::postgres::console::ReviewRow;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Emotion, JobId};
use url::form_urlencoded;
use uuid::Uuid;

use super::{kept, place, refuse_blind};
use crate::app::{App, Shared};
use crate::auth::{Caller, Principal, Reviews};
use crate::extract::Path;
use crate::problem::Problem;
use crate::verdict::Verdict;

/// Longest form, bytes: a note of 2000 characters takes up to twelve for each.
const MAX_FORM: usize = 32 << 10;

/// What was sent.
struct Form {
    emotion: Emotion,
    /// Channel (-1 for the mix) and segment; `None`: the call as a whole.
    about: Option<(i32, u32)>,
    note: String,
    /// When the newest of the sender's own reviews was given that the page showed, microseconds.
    seen: i64,
    /// The place of the call in the queue.
    after: Option<String>,
}

/// `POST /review/{job_id}`: redirects to the next call.
pub(in crate::pages) async fn save(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reviews>,
    Path(job): Path<Uuid>,
    request: Request,
) -> Result<Response, Problem> {
    refuse_blind(&caller)?;
    let body = app.small_body(request, MAX_FORM).await?;
    let job = JobId(job);
    let form = Form::read(&body).ok_or_else(|| Problem::unprocessable("The form has an `emotion`."))?;
    let after = form.after.clone().filter(|after| place::read(after).is_ok());
    let said = match keep(&app, &caller, job, form).await {
        Ok(true) => ("saved", job.to_string()),
        Ok(false) => ("kept", job.to_string()),
        // Deleted or analysed again while it was listened to: no reason to stop.
        Err(problem) if problem.status == StatusCode::NOT_FOUND => ("gone", "1".to_owned()),
        Err(problem) => return Err(problem),
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(said.0, &said.1).extend_pairs(after.iter().map(|after| ("after", after)));
    Ok(Redirect::to(&format!("/review?{}", query.finish())).into_response())
}

/// Whether it was kept: not in place of another one that was given under the same name after the page was read.
async fn keep(app: &App, caller: &Principal, job: JobId, form: Form) -> Result<bool, Problem> {
    let mine = kept::own(app, caller, job).await?;
    let replaced = |row: &ReviewRow| {
        row.channel.map(|channel| (channel.map_or(-1, i32::from), row.segment)) == form.about.map(|(c, s)| (c, Some(s)))
            && row.reviewed_at.timestamp_micros() > form.seen
            && (row.emotion, &row.note) != (form.emotion, &form.note)
    };
    if mine.iter().any(replaced) {
        return Ok(false);
    }
    let channel = form.about.and_then(|(channel, _)| u16::try_from(channel).ok());
    let segment = form.about.map(|(_, segment)| segment);
    app.keep_verdict(caller, job, Verdict { emotion: form.emotion, channel, segment, note: form.note }).await?;
    Ok(true)
}

impl Form {
    fn read(body: &[u8]) -> Option<Self> {
        let mut form = Self { emotion: Emotion::Unknown, about: None, note: String::new(), seen: 0, after: None };
        let mut emotion = None;
        for (key, value) in form_urlencoded::parse(body) {
            match &*key {
                "emotion" => emotion = Emotion::from_label(&value),
                "about" if value.is_empty() => {}
                "about" => {
                    let (channel, segment) = value.split_once('.')?;
                    form.about = Some((channel.parse().ok()?, segment.parse().ok()?));
                }
                // As it is stored, so that the same note sent twice is the same.
                "note" => form.note = value.trim().replace("\r\n", " ").replace(char::is_control, " "),
                "seen" => form.seen = value.parse().ok()?,
                "after" => form.after = Some(value.into_owned()),
                _ => {}
            }
        }
        Some(Self { emotion: emotion?, ..form })
    }
}

#[cfg(test)]
mod tests {
    use super::Form;
    use domain::Emotion;

    #[test]
    fn a_form_names_an_emotion_and_what_it_is_about() {
        let form = Form::read(b"emotion=sad&about=-1.3&note=a%0D%0Ab&seen=7&after=x").expect("a form");
        assert_eq!((form.emotion, form.about, form.note.as_str(), form.seen), (Emotion::Sad, Some((-1, 3)), "a b", 7));
        assert_eq!(Form::read(b"emotion=sad&about=").expect("a form").about, None);
        for bad in [b"note=x".as_slice(), b"emotion=bored", b"emotion=sad&about=1", b"emotion=sad&seen=x"] {
            assert!(Form::read(bad).is_none());
        }
    }
}
