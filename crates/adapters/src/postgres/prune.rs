//! Retention, and deletion of a call. Objects go first, rows after: what is interrupted in between is
//! found again by its row, and no object is left that nothing names.

use chrono::{DateTime, Utc};
use domain::report::Artifacts;
use domain::{Failure, JobId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
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
    /// Bucket of the recording itself, which is the operator's: delete it only where asked to.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

/// How much there is to forget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpiredCount {
    /// Ended analyses.
    pub analyses: u64,
    /// The earliest call among them.
    pub earliest: Option<DateTime<Utc>>,
}

/// How much was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Analyses, with their segments, channels, alerts and reviews.
    pub analyses: u64,
    /// Recordings that had no analysis left.
    pub recordings: u64,
}

impl Database {
    /// How much [`Self::expired`] would give in all: the dry run.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn count_expired(&self, before: DateTime<Utc>) -> Result<ExpiredCount, Failure> {
        const COUNT: &str =
            "SELECT count(*), min(called_at) FROM analyses WHERE called_at < $1 AND status IN ('done', 'failed')";
        let counted =
            sqlx::query_as::<_, (i64, Option<DateTime<Utc>>)>(COUNT).bind(before).fetch_one(self.pool()).await;
        let (analyses, earliest) = counted.map_err(|e| errors::failure(&e))?;
        Ok(ExpiredCount { analyses: analyses.unsigned_abs(), earliest })
    }

    /// The oldest ended analyses of calls before `before`, at most `limit`. Delete their artifacts,
    /// [`Self::forget`] them, and ask again until none are left. Jobs under way are left alone.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn expired(&self, before: DateTime<Utc>, limit: u32) -> Result<Vec<Expired>, Failure> {
        self.select_expired(Some(before), None, i64::from(limit)).await
    }

    /// Everything known of one call, ended or not, for deletion on request.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn analyses_of_call(&self, call_id: &str) -> Result<Vec<Expired>, Failure> {
        self.select_expired(None, Some(call_id), i64::MAX).await
    }

    /// Deletes these analyses and what hangs on them; recordings go with their last analysis.
    /// Some thousand jobs a call.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`; nothing is deleted then.
    pub async fn forget(&self, jobs: &[JobId]) -> Result<Forgotten, Failure> {
        const FORGET: &str = include_str!("queries/forget.sql");
        let ids: Vec<Uuid> = jobs.iter().map(|id| id.0).collect();
        let counted = sqlx::query_as::<_, (i64, i64)>(FORGET).bind(ids).fetch_one(self.pool()).await;
        let (analyses, recordings) = counted.map_err(|e| errors::failure(&e))?;
        Ok(Forgotten { analyses: analyses.unsigned_abs(), recordings: recordings.unsigned_abs() })
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
        limit: i64,
    ) -> Result<Vec<Expired>, Failure> {
        const EXPIRED: &str = include_str!("queries/expired.sql");
        let rows = sqlx::query_as(EXPIRED).bind(before).bind(call_id).bind(limit).fetch_all(self.pool()).await;
        rows.map_err(|e| errors::failure(&e))
    }
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
        Ok(Self {
            job_id: JobId(row.try_get("job_id")?),
            called_at: row.try_get("called_at")?,
            artifacts,
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
        })
    }
}
