//! Deletes a recording or a call with everything that is known of it, as `producer prune --call` does.

use adapters::postgres::console::AuditEntry;
use adapters::postgres::{Erasure, Expired, OpenJobs};
use adapters::retention::{Erased, Eraser};
use adapters::retry::RetryPolicy;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::predictions::Refused;
use crate::app::{App, Shared};
use crate::auth::{Administers, Caller, Principal};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::refuse_nul;

/// What to delete beside the analyses.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeletionQuery {
    /// What becomes of the recordings in the store: `delete` or `keep`. By default those that were uploaded through the
    /// console are deleted, and others, which belong to the operator's archive, are kept.
    #[param(inline)]
    file: Option<FileFate>,
    /// Also analyses that have not ended; without it, they are a 409 and nothing is deleted.
    even_unfinished: Option<bool>,
}

/// What becomes of a recording in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum FileFate {
    Delete,
    Keep,
}

/// Longest wait for dead letters that another program has in flight: a person waits for the answer.
const LETTERS_WAIT: Duration = Duration::from_secs(2);

/// What was deleted.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) struct Deletion {
    /// Analyses, with their timelines.
    analyses: u64,
    /// Recordings in the store.
    files: u64,
    /// Artifacts: processed audio, results, embeddings.
    artifacts: u64,
    /// Alerts.
    alerts: u64,
    /// Reviews.
    reviews: u64,
    /// Dead letters.
    dead_letters: usize,
    /// Failed analyses whose dead letter was not found: it was dropped, or another program has it in flight. Then delete again
    /// when that program has ended.
    letters_away: usize,
}

/// Delete a recording
///
/// Deletes the recording's analyses, artifacts, alerts, reviews and dead letters: objects first, rows after. Needs the role
/// admin, and is recorded in the audit trail.
#[utoipa::path(
    delete, path = "/api/v1/recordings/{id}", operation_id = "delete_recording", tag = "recordings",
    params(("id" = Uuid, Path), DeletionQuery),
    responses((status = 200, description = "What was deleted", body = Deletion),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 409, response = Refused), (status = 429, response = Refused),
        (status = 500, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn recording(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Administers>,
    Path(id): Path<Uuid>,
    Query(query): Query<DeletionQuery>,
) -> Result<Json<Deletion>, Problem> {
    app.delete(&caller, &Erasure::Recording(id), query).await.map(Json)
}

/// Delete a call
///
/// All recordings with this call id, as `DELETE /api/v1/recordings/{id}` does.
#[utoipa::path(
    delete, path = "/api/v1/calls/{call_id}", operation_id = "delete_call", tag = "calls",
    params(("call_id" = String, Path, pattern = r"^[^\u0000]*$"), DeletionQuery),
    responses((status = 200, description = "What was deleted", body = Deletion),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 409, response = Refused), (status = 429, response = Refused),
        (status = 500, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn call(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Administers>,
    Path(call_id): Path<String>,
    Query(query): Query<DeletionQuery>,
) -> Result<Json<Deletion>, Problem> {
    refuse_nul(&[&Some(call_id.clone())])?;
    app.delete(&caller, &Erasure::Call(call_id), query).await.map(Json)
}

impl App {
    async fn delete(&self, caller: &Principal, what: &Erasure, query: DeletionQuery) -> Result<Deletion, Problem> {
        let team = caller.team.as_deref();
        let all = self.database.analyses_of(what, team, OpenJobs::Delete).await?;
        if all.is_empty() {
            let name = if matches!(what, Erasure::Call(_)) { "call" } else { "recording" };
            return Err(Problem::not_found(name));
        }
        let open = if query.even_unfinished == Some(true) { OpenJobs::Delete } else { OpenJobs::Keep };
        let found = match open {
            OpenJobs::Delete => all,
            OpenJobs::Keep => {
                let ended = self.database.analyses_of(what, team, OpenJobs::Keep).await?;
                if ended.len() < all.len() {
                    let detail = "An analysis has not ended. Wait for its end, or add `even_unfinished=true`.";
                    return Err(Problem::conflict("The analysis has not ended", detail).retry_after(5));
                }
                ended
            }
        };
        // What can't be recorded is not done.
        for job in &found {
            self.note_deletion(caller, what, job).await?;
        }
        let mut erased = Erased::default();
        // A caller of one team deletes letters of that team's jobs alone.
        let call = match what {
            Erasure::Call(call) if team.is_none() => Some(call.as_str()),
            _ => None,
        };
        let (with_file, without): (Vec<_>, Vec<_>) = found.into_iter().partition(|job| self.file_goes(job, query.file));
        for (jobs, files) in [(with_file, true), (without, false)] {
            if jobs.is_empty() {
                continue;
            }
            let (s3, amqp) = (&self.settings.s3, &self.settings.amqp);
            let eraser = Eraser::new(self.database.clone(), s3, amqp, files, open, RetryPolicy::NEVER)?;
            eraser.erase_with_dead_letters(&jobs, call, LETTERS_WAIT, &mut erased).await?;
        }
        if let Some(refusal) = erased.refusal {
            return Err(refusal.into());
        }
        Ok(Deletion {
            analyses: erased.rows.analyses,
            files: erased.objects.recordings,
            artifacts: erased.objects.artifacts,
            alerts: erased.rows.alerts,
            reviews: erased.rows.reviews,
            dead_letters: erased.dead_letters,
            letters_away: erased.letters_away,
        })
    }

    /// Whether the recording itself is deleted from the store.
    fn file_goes(&self, job: &Expired, fate: Option<FileFate>) -> bool {
        let uploads = format!("{}/", self.settings.console.upload_prefix);
        let uploaded = job.recording.bucket == self.settings.s3.bucket && job.recording.key.starts_with(&uploads);
        fate.map_or(uploaded, |fate| fate == FileFate::Delete)
    }

    async fn note_deletion(&self, caller: &Principal, what: &Erasure, job: &Expired) -> Result<(), Problem> {
        let (who, address) = (caller.name(), caller.address.to_string());
        let detail = match what {
            Erasure::Call(call) => format!("call {call}"),
            Erasure::Recording(id) => format!("recording {id}"),
        };
        let entry =
            AuditEntry { who: &who, action: "delete", job_id: Some(job.job_id), detail: &detail, address: &address };
        Ok(self.database.audit(&entry).await?)
    }
}
