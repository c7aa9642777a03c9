//! The end of a job: its result, or why there is none.

use chrono::{DateTime, Utc};
use domain::alert::RuleMatch;
use domain::report::Artifacts;
use domain::{Emotion, Failure, Job, JobId, Report};
use serde_json::json;
use sqlx::PgConnection;

use super::timeline::{ChannelColumns, SegmentColumns};
use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::jobs::{DELETING, recording_id};
use crate::postgres::{AttemptToken, Database, alerts, errors, text};

/// How recording a result ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The result is stored.
    Recorded,
    /// The call was deleted while the job was in flight. Nothing is stored; the artifacts are to be deleted.
    Deleted,
    /// Another attempt owns the row, or the job has ended: nothing is stored, and no artifact may be deleted.
    Superseded,
    /// No attempt owns the row, and the job has not ended: the database has lost the beginning of this attempt (a failover to a
    /// replica that was behind, say), or the job was queued again. Nothing is stored; the message is still needed.
    Unowned,
}

impl Database {
    /// Stores the result of an attempt: the analysis `done`, its segments and channels, and an alert for each of `matches`,
    /// in one transaction. Repeating it replaces the same rows by the same rows.
    ///
    /// # Errors
    /// `database.unreachable` (nothing is stored then, or all of it: repeat), `database.refused`.
    #[boxed]
    pub async fn record_done(
        &self,
        report: &Report,
        artifacts: &Artifacts,
        embedding: Option<&[f32]>,
        matches: &[RuleMatch<'_>],
        worker: &str,
        token: AttemptToken,
    ) -> Result<RecordOutcome, Failure> {
        loop {
            let write = || async {
                let mut transaction = self.begin().await?;
                let Some(written) =
                    write_analysis(&mut transaction, report, artifacts, embedding, worker, token).await?
                else {
                    transaction.rollback().await?;
                    return Ok(Written::Not);
                };
                // A partition is made before the transaction: making one locks out writers for a moment.
                if !self.knows_month(written.called_at) {
                    transaction.rollback().await?;
                    return Ok(Written::NeedsMonth(written.called_at));
                }
                if written.again {
                    delete_timeline(&mut transaction, report, written.called_at).await?;
                }
                write_timeline(&mut transaction, report, written.called_at).await?;
                alerts::fire(&mut transaction, matches, report).await?;
                transaction.commit().await?;
                Ok(Written::All)
            };
            match repeated(write).await? {
                Written::All => return Ok(RecordOutcome::Recorded),
                Written::Not => return self.not_recorded(report.job_id, Some(token)).await,
                Written::NeedsMonth(called_at) => self.ensure_month(called_at).await?,
            }
        }
    }

    /// Stores that a job failed, for the attempt that owns its row. Beside the result of a job
    /// that was done before, the failure is the repetition's. Without a token: what failed outside of any attempt is
    /// stored unless an attempt is under way or the job is done, and a job that was never registered gets its row as well.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn record_failed(
        &self,
        job: &Job,
        failure: &Failure,
        worker: &str,
        token: Option<AttemptToken>,
    ) -> Result<RecordOutcome, Failure> {
        const FAILED: &str = include_str!("record_failed.sql");
        let (message, by) = (text::clean(&failure.message, 2000), text::clean(worker, 200));
        for known in [true, false] {
            if !known {
                self.adopt(job).await?;
            }
            let write = || {
                let write = sqlx::query(FAILED).bind(job.job_id.0).bind(failure.code.code()).bind(&message).bind(&by);
                write.bind(token.map(|token| token.0)).execute(self.pool())
            };
            if repeated(write).await?.rows_affected() > 0 {
                return Ok(RecordOutcome::Recorded);
            }
            if token.is_some() {
                break;
            }
        }
        self.not_recorded(job.job_id, token).await
    }

    /// Why an attempt can't record anything; `None` while it can, since it owns its job's row.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn lost_row(&self, job: JobId, token: AttemptToken) -> Result<Option<RecordOutcome>, Failure> {
        self.unwritten(job, Some(token)).await
    }

    /// Why a write of an attempt found no row of its own; `None` where the row is its own.
    async fn unwritten(&self, job: JobId, token: Option<AttemptToken>) -> Result<Option<RecordOutcome>, Failure> {
        // The failure of a message that was set aside holds back no attempt: that this one began was lost.
        const ROW: &str = "SELECT CASE WHEN set_aside AND $2 IS NOT NULL THEN 'queued' ELSE state END,
            coalesce(attempt = $2, false) FROM analyses WHERE job_id = $1";
        let row = sqlx::query_as(ROW).bind(job.0).bind(token.map(|token| token.0)).fetch_optional(self.pool()).await;
        let row: Option<(String, bool)> = row.map_err(|e| errors::failure(&e))?;
        Ok(match row.as_ref().map(|(state, mine)| (state.as_str(), *mine)) {
            None | Some((DELETING, _)) => Some(RecordOutcome::Deleted),
            Some(("running", true)) => None,
            Some(("queued" | "retrying", _)) => Some(RecordOutcome::Unowned),
            Some(_) => Some(RecordOutcome::Superseded),
        })
    }

    /// Why a row could not be written. An attempt that owns it again by now was superseded at that moment.
    async fn not_recorded(&self, job: JobId, token: Option<AttemptToken>) -> Result<RecordOutcome, Failure> {
        Ok(self.unwritten(job, token).await?.unwrap_or(RecordOutcome::Superseded))
    }
}

/// How far a transaction came.
enum Written {
    /// Everything is stored.
    All,
    /// Nothing: the attempt does not own the job's row.
    Not,
    /// Nothing: the month of the call has no partition yet, as far as this process knows.
    NeedsMonth(DateTime<Utc>),
}

/// What the analysis' row says now that it is locked, and its recording with it.
#[derive(sqlx::FromRow)]
struct LockedAnalysis {
    /// The time of the call: it decides the partition of the segments.
    called_at: DateTime<Utc>,
    /// A result was stored before.
    again: bool,
}

/// `None` when the attempt does not own the job's row any more.
async fn write_analysis(
    connection: &mut PgConnection,
    report: &Report,
    artifacts: &Artifacts,
    embedding: Option<&[f32]>,
    worker: &str,
    token: AttemptToken,
) -> Result<Option<LockedAnalysis>, sqlx::Error> {
    const DONE: &str = include_str!("record_done.sql");
    let speech_s = report.channels.iter().filter(|c| c.scored).fold(0.0, |total, channel| total + channel.speech_s);
    let audio = &report.audio;
    sqlx::query_as(DONE)
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
        .bind(token.0)
        .fetch_optional(connection)
        .await
}

async fn delete_timeline(
    connection: &mut PgConnection,
    report: &Report,
    called_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    const DELETE: &str = "WITH old AS (DELETE FROM channels WHERE job_id = $1)
        DELETE FROM segments WHERE job_id = $1 AND called_at = $2";
    sqlx::query(DELETE).bind(report.job_id.0).bind(called_at).execute(connection).await.map(drop)
}

async fn write_timeline(
    connection: &mut PgConnection,
    report: &Report,
    called_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let job = report.job_id.0;
    SegmentColumns::of(report).insert(connection, job, called_at).await?;
    let recording = recording_id(&report.object);
    ChannelColumns::of(report).insert(connection, job, called_at, recording).await
}
