//! The end of a job: its result, or why there is none.

use chrono::{DateTime, Utc};
use domain::alert::RuleMatch;
use domain::report::Artifacts;
use domain::{Emotion, Failure, Job, JobId, Report};
use serde_json::json;
use sqlx::PgConnection;

use super::timeline::{ChannelColumns, SegmentColumns};
use crate::postgres::jobs::recording_id;
use crate::postgres::{Database, alerts, errors, text};

/// How recording a result ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The result is stored.
    Recorded,
    /// The call was deleted while the job was in hand. Nothing is stored; the artifacts are to be deleted.
    Deleted,
}

impl Database {
    /// Stores a result: the analysis `done`, its segments and channels, and an alert for each of `matches`,
    /// in one transaction. Repeating it replaces the same rows by the same rows.
    ///
    /// # Errors
    /// `database.unreachable` (nothing is stored then, or all of it: repeat), `database.refused`.
    pub async fn record_done(
        &self,
        report: &Report,
        artifacts: &Artifacts,
        embedding: Option<&[f32]>,
        matches: &[RuleMatch<'_>],
        worker: &str,
    ) -> Result<RecordOutcome, Failure> {
        let Some(mut called_at) = self.called_at(report.job_id).await? else { return Ok(RecordOutcome::Deleted) };
        // The time of the call may be corrected until the recording's row is locked: the month's partition is then
        // made before another transaction.
        loop {
            self.ensure_month(called_at).await?;
            let written = async {
                let mut transaction = self.pool().begin().await?;
                let current = write_analysis(&mut transaction, report, artifacts, embedding, worker).await?;
                if current != Some(called_at) {
                    transaction.rollback().await?;
                    return Ok(current);
                }
                write_timeline(&mut transaction, report, called_at).await?;
                alerts::fire(&mut transaction, matches, report).await?;
                transaction.commit().await?;
                Ok(current)
            };
            match written.await.map_err(|e: sqlx::Error| errors::failure(&e))? {
                None => return Ok(RecordOutcome::Deleted),
                Some(current) if current == called_at => return Ok(RecordOutcome::Recorded),
                Some(corrected) => called_at = corrected,
            }
        }
    }

    /// Stores that a job failed. A job that is done stays done: the failure is a stale duplicate's.
    /// A job that was never registered gets its row as well.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn record_failed(&self, job: &Job, failure: &Failure, worker: &str) -> Result<(), Failure> {
        const FAILED: &str = "UPDATE analyses
            SET status     = CASE WHEN status = 'done' THEN status          ELSE 'failed' END,
                failure_code    = CASE WHEN status = 'done' THEN failure_code    ELSE $2 END,
                failure_message = CASE WHEN status = 'done' THEN failure_message ELSE $3 END,
                worker          = CASE WHEN status = 'done' THEN worker          ELSE $4 END,
                finished_at     = CASE WHEN status = 'done' THEN finished_at     ELSE now() END,
                published_at    = coalesce(published_at, now()), unfinished = 0
            WHERE job_id = $1";
        for known in [true, false] {
            if !known {
                self.adopt(job).await?;
            }
            let written = sqlx::query(FAILED)
                .bind(job.job_id.0)
                .bind(failure.code.code())
                .bind(text::clean(&failure.message, 2000))
                .bind(text::clean(worker, 200))
                .execute(self.pool())
                .await
                .map_err(|e| errors::failure(&e))?;
            if written.rows_affected() > 0 {
                return Ok(());
            }
        }
        Ok(()) // deleted this very moment: there is no row to write
    }

    /// The time that decides the month of a job's segments; `None` when the job has no row any more.
    async fn called_at(&self, job: JobId) -> Result<Option<DateTime<Utc>>, Failure> {
        const CALLED_AT: &str = "SELECT called_at FROM analyses WHERE job_id = $1";
        let called_at = sqlx::query_scalar(CALLED_AT).bind(job.0).fetch_optional(self.pool()).await;
        called_at.map_err(|e| errors::failure(&e))
    }
}

/// The time of the call, now that its recording is locked; `None` when the job has no row any more.
async fn write_analysis(
    connection: &mut PgConnection,
    report: &Report,
    artifacts: &Artifacts,
    embedding: Option<&[f32]>,
    worker: &str,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    const DONE: &str = include_str!("record_done.sql");
    let speech_s: f64 = report.channels.iter().filter(|c| c.scored).map(|c| c.speech_s).sum();
    let audio = &report.audio;
    sqlx::query_scalar(DONE)
        .bind(report.job_id.0)
        .bind(recording_id(&report.object))
        .bind(text::clean(&audio.container, 64))
        .bind(text::clean(&audio.codec, 64))
        .bind(i32::try_from(audio.sample_rate).unwrap_or(i32::MAX))
        .bind(i16::try_from(audio.channels).unwrap_or(i16::MAX))
        .bind(audio.duration_s)
        .bind(i64::try_from(audio.bytes).unwrap_or(i64::MAX))
        .bind(text::clean(worker, 200))
        .bind(report.timestamp)
        .bind(report.emotion.map(Emotion::label))
        .bind(report.confidence)
        .bind(report.scores.as_ref().map(|scores| scores.as_array().as_slice()))
        .bind(speech_s)
        .bind(text::clean(&report.model.name, 200))
        .bind(text::clean(&report.model.version, 200))
        .bind(text::clean(&report.model.sha256, 64))
        .bind(json!(report.timings))
        .bind(&artifacts.bucket)
        .bind(&artifacts.result_key)
        .bind(&artifacts.audio_key)
        .bind(&artifacts.embedding_key)
        .bind(embedding)
        .bind(report.warnings.iter().map(|warning| warning.code.label()).collect::<Vec<_>>())
        .fetch_optional(connection)
        .await
}

async fn write_timeline(
    connection: &mut PgConnection,
    report: &Report,
    called_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    const DELETE: &str = "WITH old AS (DELETE FROM channels WHERE job_id = $1)
        DELETE FROM segments WHERE job_id = $1 AND called_at = $2";
    let job = report.job_id.0;
    sqlx::query(DELETE).bind(job).bind(called_at).execute(&mut *connection).await?;
    SegmentColumns::of(report).insert(connection, job, called_at).await?;
    let recording = recording_id(&report.object);
    ChannelColumns::of(report).insert(connection, job, called_at, recording).await
}
