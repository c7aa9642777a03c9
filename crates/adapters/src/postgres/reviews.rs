//! What people say of what the model heard.

use chrono::{DateTime, Utc};
use domain::{Emotion, Failure, JobId};

use super::{Database, errors, text};

/// Verdicts per statement.
const CHUNK: usize = 500;

/// A person's verdict on a call, a channel of it or a stretch of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// Which call: by job, or by call id, key or both (its latest analysis is meant).
    pub job_id: Option<JobId>,
    /// The call's own number.
    pub call_id: Option<String>,
    /// The recording's key.
    pub key: Option<String>,
    /// Channel number from 0; `None`: the call as a whole or, with a segment, its only scored channel.
    pub channel: Option<u16>,
    /// The segment's number within the channel, from 0.
    pub segment: Option<u32>,
    /// Instead of the number: a second that lies within the segment.
    pub at_s: Option<f32>,
    /// Who says so.
    pub reviewer: String,
    /// When; `None`: now. A newer verdict of the same person replaces an older one.
    pub reviewed_at: Option<DateTime<Utc>>,
    /// What it was.
    pub emotion: Emotion,
    /// Anything else.
    pub note: String,
}

/// A verdict that found nothing to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Its position in what was handed in, from 0.
    pub position: usize,
    /// Why, in a few words.
    pub problem: String,
}

impl Database {
    /// Writes verdicts; those whose call, channel or segment can't be found come back. Safe to repeat.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`; what was written until then stays.
    pub async fn import_reviews(&self, reviews: &[Review]) -> Result<Vec<Unplaced>, Failure> {
        const IMPORT: &str = include_str!("queries/import_reviews.sql");
        let mut unplaced = Vec::new();
        for (number, chunk) in reviews.chunks(CHUNK).enumerate() {
            let mut query = sqlx::query_as::<_, (i64, Option<String>)>(IMPORT);
            query = query
                .bind(column(chunk, |r| r.job_id.map(|id| id.0)))
                .bind(column(chunk, |r| r.call_id.as_deref().map(|t| text::clean(t, 1024))))
                .bind(column(chunk, |r| r.key.as_deref().map(|t| text::clean(t, 1024))))
                .bind(column(chunk, |r| r.channel.map(|c| i16::try_from(c).unwrap_or(i16::MAX))))
                .bind(column(chunk, |r| r.segment.map(|s| i32::try_from(s).unwrap_or(i32::MAX))))
                .bind(column(chunk, |r| r.at_s))
                .bind(column(chunk, |r| text::clean(&r.reviewer, 200)))
                .bind(column(chunk, |r| r.reviewed_at))
                .bind(column(chunk, |r| r.emotion.label()))
                .bind(column(chunk, |r| text::clean(&r.note, 2000)));
            let rows = query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
            unplaced.extend(rows.into_iter().filter_map(|(row, problem)| {
                let position = number * CHUNK + usize::try_from(row).unwrap_or(1) - 1;
                Some(Unplaced { position, problem: problem? })
            }));
        }
        Ok(unplaced)
    }
}

fn column<'r, T>(reviews: &'r [Review], value: impl Fn(&'r Review) -> T) -> Vec<T> {
    reviews.iter().map(value).collect()
}
