//! What became of jobs, for a table.

use domain::{BatchId, Emotion, Failure, JobId, Role};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use super::attempt::stored_failure;
use super::{Database, Status, errors};

/// One job of a batch and what was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// The job.
    pub job_id: JobId,
    /// The object's bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The call's own number.
    pub call_id: Option<String>,
    /// Where the job stands.
    pub status: Status,
    /// Why it failed, or why it was last retried.
    pub failure: Option<Failure>,
    /// Likeliest emotion; `None` until done.
    pub emotion: Option<Emotion>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// Seconds of the recording; `None` until analysed.
    pub duration_s: Option<f64>,
    /// One per channel, by number; empty until done.
    pub channels: Vec<ChannelSummary>,
}

/// What was heard on a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelSummary {
    /// Number from 0; `None` for the mix.
    pub channel: Option<u16>,
    /// Who speaks.
    pub role: Role,
    /// False: left out by the operator's policy.
    pub scored: bool,
    /// Likeliest emotion; `None` without scored speech.
    pub emotion: Option<Emotion>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// Seconds of speech.
    pub speech_s: f32,
    /// Stretches of speech.
    pub segments: u32,
}

impl Database {
    /// A batch's jobs, by key.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn results(&self, batch: &BatchId, limit: u32, offset: u64) -> Result<Vec<ResultRow>, Failure> {
        const RESULTS: &str = include_str!("queries/results.sql");
        sqlx::query_as(RESULTS)
            .bind(batch.0)
            .bind(i64::from(limit))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .fetch_all(self.pool())
            .await
            .map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for ResultRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let failed = row.try_get::<Option<String>, _>("failure_code")?.is_some();
        Ok(Self {
            job_id: JobId(row.try_get("job_id")?),
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
            call_id: row.try_get("call_id")?,
            status: word(row, "status", Status::from_label)?,
            failure: if failed { Some(stored_failure(row)?) } else { None },
            emotion: row.try_get::<Option<String>, _>("emotion")?.and_then(|e| Emotion::from_label(&e)),
            confidence: row.try_get("confidence")?,
            duration_s: row.try_get("duration_s")?,
            channels: channels(row)?,
        })
    }
}

/// The arrays of `queries/results.sql`, turned into one summary per channel.
fn channels(row: &PgRow) -> Result<Vec<ChannelSummary>, sqlx::Error> {
    let numbers: Vec<i16> = row.try_get("channel_numbers")?;
    let roles: Vec<String> = row.try_get("channel_roles")?;
    let scored: Vec<bool> = row.try_get("channel_scored")?;
    let emotions: Vec<Option<String>> = row.try_get("channel_emotions")?;
    let confidence: Vec<Option<f32>> = row.try_get("channel_scores")?;
    let speech: Vec<f32> = row.try_get("channel_speech")?;
    let segments: Vec<i32> = row.try_get("channel_segments")?;
    let summary = |i: usize| ChannelSummary {
        channel: u16::try_from(numbers[i]).ok(),
        role: Role::from_label(&roles[i]).unwrap_or(Role::Speaker),
        scored: scored[i],
        emotion: emotions[i].as_deref().and_then(Emotion::from_label),
        confidence: confidence[i],
        speech_s: speech[i],
        segments: segments[i].unsigned_abs(),
    };
    Ok((0..numbers.len()).map(summary).collect())
}

/// A word of a closed list.
fn word<T>(row: &PgRow, column: &'static str, read: fn(&str) -> Option<T>) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(column)?;
    read(&text).ok_or_else(|| sqlx::Error::ColumnDecode { index: column.into(), source: "unknown word".into() })
}
