//! Retention, and deletion of a call. Objects go first, rows after: what is interrupted in between is
//! found again by its row, and no object is left that nothing names.

use chrono::{DateTime, Utc};
use domain::report::Artifacts;
use domain::{Failure, JobId, ObjectRef};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use std::ops::AddAssign;
use uuid::Uuid;

use super::{Database, errors};

/// An analysis to forget, and the objects that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The job.
    pub job_id: JobId,
    /// When the call began.
    pub called_at: DateTime<Utc>,
    /// What the analysis wrote; `None` when it failed or has not ended.
    pub artifacts: Option<Artifacts>,
    /// The recording itself, which is the operator's: delete it only where asked to.
    pub recording: ObjectRef,
    /// An analysis that is not to be forgotten needs the recording.
    pub recording_stays: bool,
}

/// How much there is to forget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpiredCount {
    /// Ended analyses.
    pub analyses: u64,
    /// The earliest call among them.
    pub earliest: Option<DateTime<Utc>>,
    /// Analyses as old that have not ended.
    pub unfinished: u64,
    /// Alerts of the ended ones.
    pub alerts: u64,
    /// What people said of them.
    pub reviews: u64,
}

/// How much was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Analyses, with their segments, channels, alerts and reviews.
    pub analyses: u64,
    /// Recordings that had no analysis left.
    pub recordings: u64,
    /// Alerts of those analyses.
    pub alerts: u64,
    /// Messages of those alerts that had not been delivered, and never will be.
    pub unsent: u64,
    /// What people said of them.
    pub reviews: u64,
}

impl AddAssign for Forgotten {
    fn add_assign(&mut self, other: Self) {
        self.analyses += other.analyses;
        self.recordings += other.recordings;
        self.alerts += other.alerts;
        self.unsent += other.unsent;
        self.reviews += other.reviews;
    }
}

/// What becomes of jobs that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// They are left alone.
    Stay,
    /// They go too. A worker that has one in hand records nothing of it; one whose message still waits in
    /// the queue comes back when a worker takes it.
    Go,
}

impl Database {
    /// How much [`Self::expired`] would give in all: the dry run.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn count_expired(&self, before: DateTime<Utc>) -> Result<ExpiredCount, Failure> {
        const COUNT: &str = include_str!("queries/count_expired.sql");
        let counted = async {
            let mut transaction = self.pool().begin().await?;
            // All rows of years may have to be read: longer than a statement of the fleet may take.
            sqlx::query("SET LOCAL statement_timeout = '15min'").execute(&mut *transaction).await?;
            let row = sqlx::query(COUNT).bind(before).fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            expired_count(&row)
        };
        counted.await.map_err(|e| errors::failure(&e))
    }

    /// How much is known of one call.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn count_of_call(&self, call_id: &str) -> Result<ExpiredCount, Failure> {
        const COUNT: &str = include_str!("queries/count_of_call.sql");
        let row = sqlx::query(COUNT).bind(call_id).fetch_one(self.pool()).await;
        row.and_then(|row| expired_count(&row)).map_err(|e| errors::failure(&e))
    }

    /// The oldest ended analyses of calls before `before`, at most `limit`. Delete their artifacts,
    /// [`Self::forget`] them, and ask again until none are left. Jobs under way are left alone.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn expired(&self, before: DateTime<Utc>, limit: u32) -> Result<Vec<Expired>, Failure> {
        self.select_expired(Some(before), None, Unfinished::Stay, i64::from(limit)).await
    }

    /// Everything known of one call, for deletion on request.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn analyses_of_call(&self, call_id: &str, unfinished: Unfinished) -> Result<Vec<Expired>, Failure> {
        self.select_expired(None, Some(call_id), unfinished, i64::MAX).await
    }

    /// Deletes these analyses and what hangs on them; recordings go with their last analysis.
    /// Some thousand jobs a call.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`; nothing is deleted then.
    pub async fn forget(&self, jobs: &[JobId], unfinished: Unfinished) -> Result<Forgotten, Failure> {
        const FORGET: &str = include_str!("queries/forget.sql");
        let ids: Vec<Uuid> = jobs.iter().map(|id| id.0).collect();
        let row = sqlx::query(FORGET).bind(ids).bind(unfinished == Unfinished::Go).fetch_one(self.pool()).await;
        let counted = row.and_then(|row| {
            Ok(Forgotten {
                analyses: count(&row, "analyses")?,
                recordings: count(&row, "recordings")?,
                alerts: count(&row, "alerts")?,
                unsent: count(&row, "unsent")?,
                reviews: count(&row, "reviews")?,
            })
        });
        counted.map_err(|e| errors::failure(&e))
    }

    /// After the last [`Self::forget`]: drops months of the timeline that are empty now, and batches without
    /// jobs. Returns how many months.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn drop_empty_months(&self, before: DateTime<Utc>) -> Result<u32, Failure> {
        const BATCHES: &str = "DELETE FROM batches b WHERE created_at < $1
            AND NOT EXISTS (SELECT FROM analyses a WHERE a.batch_id = b.id)";
        let dropped = async {
            sqlx::query(BATCHES).bind(before).execute(self.pool()).await?;
            sqlx::query_scalar::<_, i32>("SELECT segments_drop_empty_months($1)")
                .bind(before)
                .fetch_one(self.pool())
                .await
        };
        let dropped = dropped.await.map_err(|e| errors::failure(&e))?;
        self.months.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        Ok(dropped.unsigned_abs())
    }

    async fn select_expired(
        &self,
        before: Option<DateTime<Utc>>,
        call_id: Option<&str>,
        unfinished: Unfinished,
        limit: i64,
    ) -> Result<Vec<Expired>, Failure> {
        const EXPIRED: &str = include_str!("queries/expired.sql");
        let query = sqlx::query_as(EXPIRED).bind(before).bind(call_id).bind(unfinished == Unfinished::Go).bind(limit);
        query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

fn expired_count(row: &PgRow) -> Result<ExpiredCount, sqlx::Error> {
    Ok(ExpiredCount {
        analyses: count(row, "analyses")?,
        earliest: row.try_get("earliest")?,
        unfinished: count(row, "unfinished")?,
        alerts: count(row, "alerts")?,
        reviews: count(row, "reviews")?,
    })
}

fn count(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>(column).map(i64::unsigned_abs)
}

impl FromRow<'_, PgRow> for Expired {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let bucket: Option<String> = row.try_get("artifact_bucket")?;
        let result_key: Option<String> = row.try_get("result_key")?;
        let audio_key: Option<String> = row.try_get("audio_key")?;
        let embedding_key = row.try_get("embedding_key")?;
        let artifacts = match (bucket, result_key, audio_key) {
            (Some(bucket), Some(result_key), Some(audio_key)) => {
                Some(Artifacts { bucket, result_key, audio_key, embedding_key })
            }
            _ => None,
        };
        let etag: String = row.try_get("etag")?;
        Ok(Self {
            job_id: JobId(row.try_get("job_id")?),
            called_at: row.try_get("called_at")?,
            artifacts,
            recording: ObjectRef {
                bucket: row.try_get("bucket")?,
                key: row.try_get("key")?,
                etag: Some(etag).filter(|etag| !etag.is_empty()),
            },
            recording_stays: row.try_get("recording_stays")?,
        })
    }
}
