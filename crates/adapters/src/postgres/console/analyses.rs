//! Analyses with their recordings, one or page by page.

use chrono::{DateTime, Utc};
use domain::report::Artifacts;
use domain::{BatchId, CallData, Emotion, Failure, JobId, Scores};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::filter::{AnalysisFilter, Cursor};
use super::recordings::RecordingFacts;
use crate::boxed;
use crate::postgres::jobs::stored_failure;
use crate::postgres::rows::attributes;
use crate::postgres::{Database, Status, errors, rows};

const ANALYSIS: &str = include_str!("analysis.sql");

/// A job with its recording and, once done, its scores and artifacts.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisRow {
    /// The job.
    pub job_id: JobId,
    /// Its batch; `None` once the batch is deleted.
    pub batch_id: Option<BatchId>,
    /// When the call began; when that is not known, when the job was submitted.
    pub called_at: DateTime<Utc>,
    /// State.
    pub status: Status,
    /// Likeliest emotion; `None` until done, and without speech.
    pub emotion: Option<Emotion>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// All nine; `None` until done, and without speech.
    pub scores: Option<Scores>,
    /// Seconds of speech on the scored channels.
    pub speech_s: Option<f64>,
    /// Codes of what makes the result worth less.
    pub warnings: Vec<String>,
    /// Why it failed, or was last retried.
    pub failure: Option<Failure>,
    /// Model asked for.
    pub model_name: String,
    /// Version of the model that answered.
    pub model_version: Option<String>,
    /// SHA-256 of that model's graph, hex.
    pub model_sha256: Option<String>,
    /// `{"channels", "granularity", "embedding"}` as asked for.
    pub options: Value,
    /// Transient failures so far.
    pub retries: u32,
    /// Worker of the latest attempt.
    pub worker: Option<String>,
    /// When the job was made.
    pub submitted_at: DateTime<Utc>,
    /// When the latest attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was done or failed.
    pub finished_at: Option<DateTime<Utc>>,
    /// Milliseconds by stage.
    pub timings: Option<Value>,
    /// Where the artifacts are; `None` until done.
    pub artifacts: Option<Artifacts>,
    /// The recording.
    pub recording: RecordingFacts,
    /// Version of the recording, without quotes; `None` when the job did not name one.
    pub etag: Option<String>,
}

impl Database {
    /// One analysis; with a team, only when the recording is of that team.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn analysis(&self, job: JobId, team: Option<&str>) -> Result<Option<AnalysisRow>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new(ANALYSIS);
        query.push(" AND a.job_id = ").push_bind(job.0);
        if let Some(team) = team {
            query.push(" AND r.team = ").push_bind(team.to_owned());
        }
        query.build_query_as().fetch_optional(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// These analyses, in no order; those that are gone are left out.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn analyses_by_id(&self, jobs: &[JobId]) -> Result<Vec<AnalysisRow>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new(ANALYSIS);
        query.push(" AND a.job_id = ANY(").push_bind(jobs.iter().map(|job| job.0).collect::<Vec<_>>()).push(")");
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// A page of analyses, newest call first: at most `limit` rows after `after`.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn analyses(
        &self,
        filter: &AnalysisFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<AnalysisRow>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new(ANALYSIS);
        filter.push(&mut query);
        if let Some(after) = after {
            query.push(" AND (a.called_at, a.job_id) < (").push_bind(after.at).push(", ").push_bind(after.id).push(")");
        }
        query.push(" ORDER BY a.called_at DESC, a.job_id DESC LIMIT ").push_bind(i64::from(limit));
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for AnalysisRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let status: String = row.try_get("status")?;
        let emotion: Option<String> = row.try_get("emotion")?;
        Ok(Self {
            job_id: JobId(row.try_get("job_id")?),
            batch_id: row.try_get::<Option<Uuid>, _>("batch_id")?.map(BatchId),
            called_at: row.try_get("called_at")?,
            status: Status::from_label(&status).ok_or_else(|| unknown("status"))?,
            emotion: emotion.as_deref().and_then(Emotion::from_label),
            confidence: row.try_get("confidence")?,
            scores: scores(row)?,
            speech_s: row.try_get("speech_s")?,
            warnings: row.try_get("warnings")?,
            failure: stored_failure(row, "failure_code", "failure_message")?,
            model_name: row.try_get("model_name")?,
            model_version: row.try_get("model_version")?,
            model_sha256: row.try_get("model_sha256")?,
            options: row.try_get("options")?,
            retries: row.try_get::<i32, _>("retries")?.unsigned_abs(),
            worker: row.try_get("worker")?,
            submitted_at: row.try_get("submitted_at")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            timings: row.try_get("timings")?,
            artifacts: rows::artifacts(row)?,
            recording: RecordingFacts::from_row(row)?,
            etag: Some(row.try_get::<String, _>("etag")?).filter(|etag| !etag.is_empty()),
        })
    }
}

/// The nine columns `score_*`; `None` where they are NULL.
pub(super) fn scores(row: &PgRow) -> Result<Option<Scores>, sqlx::Error> {
    let mut scores = [0.0; Emotion::COUNT];
    for emotion in Emotion::ALL {
        let Some(score) = row.try_get::<Option<f32>, _>(format!("score_{}", emotion.label()).as_str())? else {
            return Ok(None);
        };
        scores[emotion.index()] = score;
    }
    // A row that was changed by hand stops no list of rows: it has no scores.
    Ok(Scores::from_probabilities(scores).ok())
}

/// The call data of a recording, its time as `call_started_at`.
pub(super) fn call(row: &PgRow) -> Result<CallData, sqlx::Error> {
    Ok(CallData {
        call_id: row.try_get("call_id")?,
        agent: row.try_get("agent")?,
        team: row.try_get("team")?,
        customer: row.try_get("customer")?,
        started_at: row.try_get("call_started_at")?,
        attributes: attributes(row)?,
    })
}

/// A value that this program does not know: a newer one wrote it.
pub(super) fn unknown(column: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.into(), source: "a value that this program does not know".into() }
}
