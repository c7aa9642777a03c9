//! Past calls in the form that rules are evaluated for, read from their rows.

use chrono::{DateTime, Utc};
use domain::report::{ChannelReport, Segment};
use domain::{CallData, Emotion, Failure, FailureCode, JobId, Role, Scores};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::boxed;
use crate::postgres::{Database, errors, rows};

/// Calls in a page: some ten thousand segments at most of the usual length.
const PAGE: i64 = 200;

/// An analysed call of the past.
#[derive(Debug, Clone)]
pub struct PastCall {
    /// Its newest analysis.
    pub job_id: JobId,
    /// When it began; without a time in the call data, when it was submitted.
    pub called_at: DateTime<Utc>,
    /// Its recording.
    pub recording: Uuid,
    /// Its call data.
    pub call: CallData,
    /// Its channels with their segments.
    pub channels: Vec<ChannelReport>,
}

/// A position in the history: the next page begins after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bookmark {
    after: (DateTime<Utc>, Uuid),
    until: DateTime<Utc>,
}

impl Bookmark {
    /// Calls that began from `since` on and before `until`.
    pub fn between(since: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        Self { after: (since, Uuid::nil()), until }
    }
}

impl Database {
    /// The next page of calls, oldest first, and the position after it; the end is where the position stays. A call whose
    /// rows can't be read is left out, and the log says which.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn past_calls(&self, place: Bookmark) -> Result<(Vec<PastCall>, Bookmark), Failure> {
        const CALLS: &str = include_str!("past_calls.sql");
        let query = sqlx::query(CALLS).bind(place.after.0).bind(place.after.1).bind(place.until).bind(PAGE);
        let rows = query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok((Vec::new(), place)) };
        let position = |row: &PgRow| Ok((row.try_get("called_at")?, row.try_get("job_id")?));
        let (first, last) = (position(first), position(last));
        let (first, last) = first.and_then(|first| Ok((first, last?))).map_err(|e| errors::failure(&e))?;
        let next = Bookmark { after: last, until: place.until };
        let calls: Result<Vec<_>, _> = rows.iter().map(past_call).collect();
        let mut calls = calls.map_err(|e| errors::failure(&e))?;
        let (mut timelines, unreadable) = self.timelines(&calls, first.0, last.0).await?;
        calls.retain(|call| !unreadable.contains(&call.job_id.0));
        for call in &mut calls {
            call.channels = timelines.remove(&call.job_id.0).unwrap_or_default();
        }
        Ok((calls, next))
    }

    async fn timelines(
        &self,
        calls: &[PastCall],
        first: DateTime<Utc>,
        last: DateTime<Utc>,
    ) -> Result<(HashMap<Uuid, Vec<ChannelReport>>, HashSet<Uuid>), Failure> {
        const TIMELINES: &str = include_str!("past_timelines.sql");
        let jobs: Vec<Uuid> = calls.iter().map(|call| call.job_id.0).collect();
        let query = sqlx::query(TIMELINES).bind(jobs).bind(first).bind(last);
        let rows = query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        let (mut timelines, mut unreadable) = (HashMap::new(), HashSet::new());
        for row in &rows {
            let job: Uuid = row.try_get("job_id").map_err(|e| errors::failure(&e))?;
            match add(&mut timelines, row) {
                Err(error) if rows::is_value(&error) => {
                    if unreadable.insert(job) {
                        tracing::error!(job_id = %job, failure = %errors::failure(&error), "left out: its timeline can't be read");
                    }
                }
                added => added.map_err(|e| errors::failure(&e))?,
            }
        }
        Ok((timelines, unreadable))
    }
}

fn past_call(row: &PgRow) -> Result<PastCall, sqlx::Error> {
    let call = CallData {
        call_id: row.try_get("call_id")?,
        agent: row.try_get("agent")?,
        team: row.try_get("team")?,
        customer: row.try_get("customer")?,
        started_at: row.try_get("started_at")?,
        attributes: rows::attributes(row)?,
    };
    let (called_at, recording) = (row.try_get("called_at")?, row.try_get("recording_id")?);
    Ok(PastCall { job_id: JobId(row.try_get("job_id")?), called_at, recording, call, channels: Vec::new() })
}

/// Adds one row of the timelines: a segment, and its channel if it is the first of it.
fn add(timelines: &mut HashMap<Uuid, Vec<ChannelReport>>, row: &PgRow) -> Result<(), sqlx::Error> {
    let channels = timelines.entry(row.try_get("job_id")?).or_default();
    let channel = rows::channel(row.try_get("channel")?);
    if channels.last().is_none_or(|last| last.channel != channel) {
        let role: String = row.try_get("role")?;
        channels.push(ChannelReport {
            channel,
            role: Role::from_label(&role).ok_or_else(|| unreadable("role"))?,
            scored: row.try_get("scored")?,
            level_dbfs: row.try_get("level_dbfs")?,
            speech_s: f64::from(row.try_get::<f32, _>("speech_s")?),
            scores: None,
            segments: Vec::new(),
        });
    }
    let Some(index) = row.try_get::<Option<i32>, _>("segment")? else { return Ok(()) };
    let mut scores = [0.0; Emotion::COUNT];
    for emotion in Emotion::ALL {
        scores[emotion.index()] = row.try_get(format!("score_{}", emotion.label()).as_str())?;
    }
    let emotion: String = row.try_get("emotion")?;
    let segment = Segment {
        index: u32::try_from(index).unwrap_or_default(),
        start_s: f64::from(row.try_get::<f32, _>("start_s")?),
        end_s: f64::from(row.try_get::<f32, _>("end_s")?),
        emotion: Emotion::from_label(&emotion).ok_or_else(|| unreadable("emotion"))?,
        confidence: row.try_get("confidence")?,
        scores: Scores::from_probabilities(scores).map_err(|_| unreadable("score_angry"))?,
    };
    channels.last_mut().expect("a channel was just pushed").segments.push(segment);
    Ok(())
}

/// A value that this program does not know: a newer program wrote it.
fn unreadable(column: &str) -> sqlx::Error {
    let failure = Failure::new(
        FailureCode::DatabaseRefused,
        format!("column {column} has a value that this program does not know"),
    );
    sqlx::Error::ColumnDecode { index: column.into(), source: Box::new(failure) }
}
