//! Past calls in the form that rules are evaluated for, read from their rows.

use chrono::{DateTime, Utc};
use domain::report::{ChannelReport, Segment};
use domain::{CallData, Emotion, Failure, FailureCode, JobId, Role, Scores};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use std::collections::HashMap;
use uuid::Uuid;

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
#[derive(Debug, Clone, Copy)]
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
    /// The next page of calls, oldest first, and the position after it; an empty page is the end.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn past_calls(&self, place: Bookmark) -> Result<(Vec<PastCall>, Bookmark), Failure> {
        const CALLS: &str = include_str!("past_calls.sql");
        let query = sqlx::query(CALLS).bind(place.after.0).bind(place.after.1).bind(place.until).bind(PAGE);
        let rows = query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        let calls: Result<Vec<_>, _> = rows.iter().map(past_call).collect();
        let mut calls = calls.map_err(|e| errors::failure(&e))?;
        let (Some(first), Some(last)) = (calls.first(), calls.last()) else { return Ok((calls, place)) };
        let next = Bookmark { after: (last.called_at, last.job_id.0), until: place.until };
        let mut timelines = self.timelines(&calls, first.called_at, last.called_at).await?;
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
    ) -> Result<HashMap<Uuid, Vec<ChannelReport>>, Failure> {
        const TIMELINES: &str = include_str!("past_timelines.sql");
        let jobs: Vec<Uuid> = calls.iter().map(|call| call.job_id.0).collect();
        let query = sqlx::query(TIMELINES).bind(jobs).bind(first).bind(last);
        let rows = query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        let mut timelines: HashMap<Uuid, Vec<ChannelReport>> = HashMap::new();
        for row in &rows {
            add(&mut timelines, row).map_err(|e| errors::failure(&e))?;
        }
        Ok(timelines)
    }
}

fn past_call(row: &PgRow) -> Result<PastCall, sqlx::Error> {
    let Json(attributes) = row.try_get("attributes")?;
    let call = CallData {
        call_id: row.try_get("call_id")?,
        agent: row.try_get("agent")?,
        team: row.try_get("team")?,
        customer: row.try_get("customer")?,
        started_at: row.try_get("started_at")?,
        attributes,
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
