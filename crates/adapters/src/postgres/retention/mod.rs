//! Retention by age, and deletion of one call. Rows are claimed first, then their objects are deleted, then the rows: a deletion that is
//! interrupted in between is found again by its rows, and no object is left without a row that names it.

use chrono::{DateTime, Utc};
use domain::report::Artifacts;
use domain::{Failure, JobId, ObjectRef};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use std::ops::AddAssign;
use uuid::Uuid;

use super::conflict::repeated;
use super::rows::count;
use super::{Database, errors};
use crate::boxed;

mod clock;

pub use clock::{Boot, LastPrune};

/// An analysis to delete, and its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The job.
    pub job_id: JobId,
    /// When the call began; without a plausible time in its call data, when the recording was ingested.
    pub called_at: DateTime<Utc>,
    /// Its artifacts; `None` when it failed or has not ended.
    pub artifacts: Option<Artifacts>,
    /// The recording itself, which belongs to the operator: delete it only on request.
    pub recording: ObjectRef,
    /// Another analysis, which is not to be deleted, needs the recording.
    pub recording_stays: bool,
    /// It failed, so that it has a dead letter, unless that was dropped.
    pub failed: bool,
    /// Run of the job: only artifacts of this one and earlier ones are the claimed row's.
    pub run: u32,
}

/// Which calls are old enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// Calls that began before. A call without a plausible time in its call data counts from its ingestion.
    pub before: DateTime<Utc>,
    /// Only calls whose recording was ingested before as well: a date in call data may be wrong, the database's
    /// own clock is not.
    pub ingested_too: bool,
}

/// How much there is to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpiredCount {
    /// Ended analyses.
    pub analyses: u64,
    /// Those of calls with a plausible time, by the year (UTC) of the call.
    pub years: Vec<(i32, u64)>,
    /// Those without a time in their call data.
    pub undated: u64,
    /// Those whose time in the call data is not plausible.
    pub implausible: u64,
    /// Recordings left out by [`Age::ingested_too`].
    pub late: u64,
    /// The earliest call among them.
    pub earliest: Option<DateTime<Utc>>,
    /// Analyses that have not ended.
    pub open: u64,
    /// Alerts of the ended ones.
    pub alerts: u64,
    /// Their reviews.
    pub reviews: u64,
}

/// How much was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneSummary {
    /// Analyses, with their segments, channels, alerts and reviews.
    pub analyses: u64,
    /// Recordings that had no analysis left.
    pub recordings: u64,
    /// Alerts of those analyses.
    pub alerts: u64,
    /// Messages of those alerts that had not been delivered, and will not be.
    pub unsent: u64,
    /// Their reviews.
    pub reviews: u64,
}

impl AddAssign for PruneSummary {
    fn add_assign(&mut self, other: Self) {
        self.analyses += other.analyses;
        self.recordings += other.recordings;
        self.alerts += other.alerts;
        self.unsent += other.unsent;
        self.reviews += other.reviews;
    }
}

/// What to do with jobs that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenJobs {
    /// They are kept.
    Keep,
    /// They are deleted too. A worker that has such a job in flight, or takes it later, stores nothing of it.
    Delete,
}

/// What is to be deleted on request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// All recordings with this call id.
    Call(String),
    /// One recording, by its identity.
    Recording(Uuid),
}

/// A search by age may read all rows of some years, longer than `postgres.statement_timeout_s` allows.
const PATIENCE: &str = "SET LOCAL statement_timeout = '15min'";

/// Which analyses to find.
#[derive(Debug, Clone, Copy, Default)]
struct Which<'a> {
    age: Option<Age>,
    /// Call and job after which the page begins.
    after: Option<(DateTime<Utc>, JobId)>,
    call_id: Option<&'a str>,
    recording: Option<Uuid>,
    team: Option<&'a str>,
}

impl Database {
    /// How much [`Self::expired`] would return in all, for a dry run.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn count_expired(&self, age: Age) -> Result<ExpiredCount, Failure> {
        const COUNT: &str = include_str!("count_expired.sql");
        let counted = || async {
            let mut transaction = self.begin().await?;
            sqlx::query(PATIENCE).execute(&mut *transaction).await?;
            let row = sqlx::query(COUNT).bind(age.before).bind(age.ingested_too).fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            expired_count(&row)
        };
        repeated(counted).await
    }

    /// How much is stored about one call.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn count_of_call(&self, call_id: &str) -> Result<ExpiredCount, Failure> {
        const COUNT: &str = include_str!("count_of_call.sql");
        let row = sqlx::query(COUNT).bind(call_id).fetch_one(self.pool()).await;
        row.and_then(|row| expired_count(&row)).map_err(|e| errors::failure(&e))
    }

    /// The oldest ended analyses of this age, at most `limit`: the first, or those behind the last one of the page before.
    /// [`Self::claim`] them, delete their artifacts, [`Self::prune`] them, and ask again until none are left. Jobs that have
    /// not ended are kept.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn expired(&self, age: Age, after: Option<&Expired>, limit: u32) -> Result<Vec<Expired>, Failure> {
        let after = after.map(|job| (job.called_at, job.job_id));
        let which = Which { age: Some(age), after, ..Which::default() };
        self.select_expired(which, OpenJobs::Keep, i64::from(limit)).await
    }

    /// All analyses of one call, for deletion on request.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn analyses_of_call(&self, call_id: &str, open: OpenJobs) -> Result<Vec<Expired>, Failure> {
        self.select_expired(Which { call_id: Some(call_id), ..Which::default() }, open, i64::MAX).await
    }

    /// All analyses of a call or recording, for deletion on request; with a team, only those of that team.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn analyses_of(
        &self,
        erasure: &Erasure,
        team: Option<&str>,
        open: OpenJobs,
    ) -> Result<Vec<Expired>, Failure> {
        let which = match erasure {
            Erasure::Call(call_id) => Which { call_id: Some(call_id), team, ..Which::default() },
            Erasure::Recording(id) => Which { recording: Some(*id), team, ..Which::default() },
        };
        self.select_expired(which, open, i64::MAX).await
    }

    /// Claims analyses for deletion, as they are now: what has changed since they were listed may not be deleted, or have
    /// other artifacts. Returns those that are claimed. They take no attempt and no result any more, and their jobs are
    /// forgotten.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn claim(&self, jobs: &[JobId], open: OpenJobs) -> Result<Vec<Expired>, Failure> {
        const CLAIM: &str = include_str!("claim.sql");
        let ids: Vec<Uuid> = jobs.iter().map(|id| id.0).collect();
        repeated(|| sqlx::query_as(CLAIM).bind(&ids).bind(open == OpenJobs::Delete).fetch_all(self.pool())).await
    }

    /// Deletes these analyses, which were claimed, with their segments, channels, alerts and reviews; a recording's row is
    /// deleted with its last analysis. For up to some thousand jobs at once.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`; nothing is deleted then.
    #[boxed]
    pub async fn prune(&self, jobs: &[JobId]) -> Result<PruneSummary, Failure> {
        const PRUNE: &str = include_str!("prune.sql");
        let ids: Vec<Uuid> = jobs.iter().map(|id| id.0).collect();
        let row = repeated(|| sqlx::query(PRUNE).bind(&ids).fetch_one(self.pool())).await?;
        let counted = || {
            Ok(PruneSummary {
                analyses: count(&row, "analyses")?,
                recordings: count(&row, "recordings")?,
                alerts: count(&row, "alerts")?,
                unsent: count(&row, "unsent")?,
                reviews: count(&row, "reviews")?,
            })
        };
        counted().map_err(|e: sqlx::Error| errors::failure(&e))
    }

    /// After the last [`Self::prune`]: drops partitions of `segments` that are empty, and deletes batches
    /// without jobs. Returns the number of partitions.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn drop_empty_months(&self, before: DateTime<Utc>) -> Result<u32, Failure> {
        const BATCHES: &str = "DELETE FROM batches b WHERE created_at < $1
            AND NOT EXISTS (SELECT FROM analyses a WHERE a.batch_id = b.id)";
        const DROP: &str = "SELECT segments_drop_empty_months($1)";
        repeated(|| sqlx::query(BATCHES).bind(before).execute(self.pool())).await?;
        let dropped: i32 = repeated(|| sqlx::query_scalar(DROP).bind(before).fetch_one(self.pool())).await?;
        self.months.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        Ok(dropped.unsigned_abs())
    }

    async fn select_expired(&self, which: Which<'_>, open: OpenJobs, limit: i64) -> Result<Vec<Expired>, Failure> {
        const EXPIRED: &str = include_str!("expired.sql");
        let (time, job) = which.after.unzip();
        let selected = || async {
            let mut transaction = self.begin().await?;
            if which.age.is_some() {
                sqlx::query(PATIENCE).execute(&mut *transaction).await?;
            }
            let query = sqlx::query_as(EXPIRED)
                .bind(which.age.map(|age| age.before))
                .bind(which.call_id)
                .bind(open == OpenJobs::Delete)
                .bind(limit)
                .bind(which.age.is_some_and(|age| age.ingested_too))
                .bind(which.recording)
                .bind(which.team)
                .bind(time)
                .bind(job.map(|job| job.0));
            let rows = query.fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        repeated(selected).await
    }
}

fn expired_count(row: &PgRow) -> Result<ExpiredCount, sqlx::Error> {
    let years: Vec<i32> = row.try_get("years")?;
    let analyses_of_years: Vec<i64> = row.try_get("analyses_of_years")?;
    Ok(ExpiredCount {
        analyses: count(row, "analyses")?,
        years: years.into_iter().zip(analyses_of_years.into_iter().map(i64::unsigned_abs)).collect(),
        undated: count(row, "undated")?,
        implausible: count(row, "implausible")?,
        late: count(row, "late")?,
        earliest: row.try_get("earliest")?,
        open: count(row, "open")?,
        alerts: count(row, "alerts")?,
        reviews: count(row, "reviews")?,
    })
}

impl FromRow<'_, PgRow> for Expired {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let etag: String = row.try_get("etag")?;
        Ok(Self {
            job_id: JobId(row.try_get("job_id")?),
            called_at: row.try_get("called_at")?,
            artifacts: super::rows::artifacts(row)?,
            recording: ObjectRef {
                bucket: row.try_get("bucket")?,
                key: row.try_get("key")?,
                etag: Some(etag).filter(|etag| !etag.is_empty()),
            },
            recording_stays: row.try_get("recording_stays")?,
            failed: row.try_get("failed")?,
            run: row.try_get::<i32, _>("run")?.unsigned_abs(),
        })
    }
}
