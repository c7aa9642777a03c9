//! The jobs of a batch with their results, page by page.

use chrono::{DateTime, Utc};
use domain::{BatchId, Emotion, Failure, JobId, Role};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::boxed;
use crate::postgres::jobs::stored_failure;
use crate::postgres::{Database, Status, errors, rows};

/// One job of a batch and its result.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// The job.
    pub job_id: JobId,
    /// The object's bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The call's id.
    pub call_id: Option<String>,
    /// When the call began; without a plausible time, when its recording was ingested.
    pub called_at: DateTime<Utc>,
    /// When the job was done or failed.
    pub finished_at: Option<DateTime<Utc>>,
    /// State of the job.
    pub status: Status,
    /// Why it failed, or why it was last retried.
    pub failure: Option<Failure>,
    /// State of a repetition that is under way; the result is the earlier one until then.
    pub repeat: Option<Status>,
    /// Why the latest repetition failed, or was last retried: the result is the earlier one.
    pub repeat_failure: Option<Failure>,
    /// Likeliest emotion; `None` until done, and without speech.
    pub emotion: Option<Emotion>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// Codes of what makes the result worth less.
    pub warnings: Vec<String>,
    /// Length of the recording in seconds; `None` until analysed.
    pub duration_s: Option<f64>,
    /// One per channel, by number; empty until done.
    pub channels: Vec<ChannelSummary>,
}

/// The result of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelSummary {
    /// Number from 0; `None` for the mix.
    pub channel: Option<u16>,
    /// Role of the speaker.
    pub role: Role,
    /// False: left out by the operator's policy.
    pub scored: bool,
    /// Likeliest emotion; `None` without scored speech.
    pub emotion: Option<Emotion>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// Seconds of speech.
    pub speech_s: f32,
    /// Number of segments.
    pub segments: u32,
}

impl Database {
    /// A page of a batch's jobs, ordered by bucket and key: the first page, or the one that follows the last
    /// row of another page. Fewer than `limit` rows: there are no more.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn results(
        &self,
        batch: &BatchId,
        after: Option<&ResultRow>,
        limit: u32,
    ) -> Result<Vec<ResultRow>, Failure> {
        self.results_of(batch, None, after, limit).await
    }

    /// The same of recordings of one team; `None`: of all.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn results_of(
        &self,
        batch: &BatchId,
        team: Option<&str>,
        after: Option<&ResultRow>,
        limit: u32,
    ) -> Result<Vec<ResultRow>, Failure> {
        const LIST: &str = include_str!("list.sql");
        let (bucket, key) = after.map_or(("", ""), |row| (&row.bucket, &row.key));
        sqlx::query_as(LIST)
            .bind(batch.0)
            .bind(bucket)
            .bind(key)
            .bind(after.map_or(Uuid::nil(), |row| row.job_id.0))
            .bind(i64::from(limit))
            .bind(team)
            .fetch_all(self.pool())
            .await
            .map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for ResultRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            job_id: JobId(row.try_get("job_id")?),
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
            call_id: row.try_get("call_id")?,
            called_at: row.try_get("called_at")?,
            finished_at: row.try_get("finished_at")?,
            status: label(row, "status", Status::from_label)?,
            failure: stored_failure(row, "failure_code", "failure_message")?,
            repeat: row.try_get::<Option<String>, _>("repeat")?.and_then(|label| Status::from_label(&label)),
            repeat_failure: stored_failure(row, "repeat_failure_code", "repeat_failure_message")?,
            emotion: row.try_get::<Option<String>, _>("emotion")?.and_then(|e| Emotion::from_label(&e)),
            confidence: row.try_get("confidence")?,
            warnings: row.try_get("warnings")?,
            duration_s: row.try_get("duration_s")?,
            channels: channels(row)?,
        })
    }
}

/// The arrays of `list.sql` as one summary per channel.
fn channels(row: &PgRow) -> Result<Vec<ChannelSummary>, sqlx::Error> {
    let numbers: Vec<i16> = row.try_get("channel_numbers")?;
    let roles: Vec<String> = row.try_get("channel_roles")?;
    let scored: Vec<bool> = row.try_get("channel_scored")?;
    let emotions: Vec<Option<String>> = row.try_get("channel_emotions")?;
    let confidence: Vec<Option<f32>> = row.try_get("channel_scores")?;
    let speech: Vec<f32> = row.try_get("channel_speech")?;
    let segments: Vec<i32> = row.try_get("channel_segments")?;
    let summary = |i: usize| ChannelSummary {
        channel: rows::channel(numbers[i]),
        role: Role::from_label(&roles[i]).unwrap_or(Role::Speaker),
        scored: scored[i],
        emotion: emotions[i].as_deref().and_then(Emotion::from_label),
        confidence: confidence[i],
        speech_s: speech[i],
        segments: segments[i].unsigned_abs(),
    };
    Ok((0..numbers.len()).map(summary).collect())
}

/// A column that holds one of a fixed set of labels.
fn label<T>(row: &PgRow, column: &'static str, read: fn(&str) -> Option<T>) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(column)?;
    read(&text).ok_or_else(|| sqlx::Error::ColumnDecode { index: column.into(), source: "unknown label".into() })
}
