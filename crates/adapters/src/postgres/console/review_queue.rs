//! The queue of calls that a person should listen to.

use chrono::{DateTime, Utc};
use domain::{Failure, JobId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::analyses::unknown;
use crate::boxed;
use crate::postgres::{Database, errors};

/// A call whose likeliest emotion has a lower probability is one to listen to. The index `analyses_unsure` and its query
/// have the number too; a segment counts as unsure below the same (`channels.low_confidence`).
pub const LOW_CONFIDENCE: f32 = 0.5;

/// The end of the year 9999: after every moment in the tables.
const AFTER_ALL_S: i64 = 253_402_300_799;

domain::label_enum! {
    /// Why a call is in the queue; in the queue's order.
    pub enum ReviewReason: "reason for a review" {
        /// A rule fired on it.
        Alert = "alert",
        /// Its emotion has a low probability.
        LowConfidence = "low_confidence",
    }
}

/// A call in the queue. Its three fields are also its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuedReview {
    /// Why it is there.
    pub reason: ReviewReason,
    /// When its latest alert fired; without one, when the call began.
    pub at: DateTime<Utc>,
    /// The analysis.
    pub job_id: JobId,
}

impl Database {
    /// Calls that nobody has reviewed, after a place in the queue: with alerts that fired from `since` on, newest first,
    /// then those from `since` on whose likeliest emotion is less probable than [`LOW_CONFIDENCE`].
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn review_queue(
        &self,
        since: DateTime<Utc>,
        team: Option<&str>,
        after: Option<QueuedReview>,
        limit: u32,
    ) -> Result<Vec<QueuedReview>, Failure> {
        const QUEUE: &str = include_str!("review_queue.sql");
        let first = (DateTime::from_timestamp(AFTER_ALL_S, 0).unwrap_or_default(), Uuid::max());
        let none = (DateTime::UNIX_EPOCH, Uuid::nil());
        let (alerts, others) = match after {
            None => (first, first),
            Some(QueuedReview { reason: ReviewReason::Alert, at, job_id }) => ((at, job_id.0), first),
            Some(QueuedReview { reason: ReviewReason::LowConfidence, at, job_id }) => (none, (at, job_id.0)),
        };
        let queue = sqlx::query_as(QUEUE).bind(since).bind(team).bind(alerts.0).bind(alerts.1);
        let queue = queue.bind(others.0).bind(others.1).bind(i64::from(limit));
        queue.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for QueuedReview {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let reason: String = row.try_get("reason")?;
        Ok(Self {
            reason: ReviewReason::from_label(&reason).ok_or_else(|| unknown("reason"))?,
            at: row.try_get("at")?,
            job_id: JobId(row.try_get("job_id")?),
        })
    }
}
