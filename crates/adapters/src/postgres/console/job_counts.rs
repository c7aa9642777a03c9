//! Jobs by state, the oldest that waits, and examples of failures.

use chrono::{DateTime, Utc};
use domain::{Failure, JobId};
use sqlx::Row;
use std::collections::HashMap;
use uuid::Uuid;

use crate::boxed;
use crate::postgres::rows::count;
use crate::postgres::{Database, errors};

/// Most open jobs that are counted: they are read one by one.
const MOST_OPEN: u64 = 200_000;
/// Most jobs counted that are done, or have failed.
const MOST_ENDED: u64 = 1_000_000;
/// Failures among which examples are looked for.
const NEWEST_FAILURES: i64 = 2000;
/// Examples of each code.
const EXAMPLES: i32 = 3;

/// How many jobs are in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Not begun.
    pub queued: u64,
    /// Begun by a worker.
    pub running: u64,
    /// Waiting for a retry.
    pub retrying: u64,
    /// Scored.
    pub done: u64,
    /// Failed.
    pub failed: u64,
}

/// The job that has waited longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldestJob {
    /// The job.
    pub job_id: JobId,
    /// Since when it waits in the queue.
    pub since: DateTime<Utc>,
}

impl JobCounts {
    /// Whether there are more open jobs than were counted: each of their numbers is a lower bound.
    pub fn more_open(&self) -> bool {
        self.queued + self.running + self.retrying >= MOST_OPEN
    }

    /// Whether a number of ended jobs is a lower bound.
    pub fn more_ended(ended: u64) -> bool {
        ended >= MOST_ENDED
    }
}

impl Database {
    /// Jobs by state, as far as they are counted.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn job_counts(&self) -> Result<JobCounts, Failure> {
        const COUNTS: &str = include_str!("job_counts.sql");
        let query = sqlx::query(COUNTS).bind(MOST_OPEN.cast_signed()).bind(MOST_ENDED.cast_signed());
        let rows = query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        let mut counts = JobCounts::default();
        for row in &rows {
            let read = || Ok((row.try_get::<String, _>("state")?, count(row, "jobs")?));
            let (state, jobs) = read().map_err(|e: sqlx::Error| errors::failure(&e))?;
            match state.as_str() {
                "queued" => counts.queued = jobs,
                "running" => counts.running = jobs,
                "retrying" => counts.retrying = jobs,
                "done" => counts.done = jobs,
                _ => counts.failed = jobs,
            }
        }
        Ok(counts)
    }

    /// The job that was published first of those that no worker has begun.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn oldest_queued(&self) -> Result<Option<OldestJob>, Failure> {
        const OLDEST: &str = "SELECT job_id, published_at FROM analyses
            WHERE state = 'queued' AND published_at IS NOT NULL ORDER BY published_at LIMIT 1";
        let row: Option<(Uuid, DateTime<Utc>)> =
            sqlx::query_as(OLDEST).fetch_optional(self.pool()).await.map_err(|e| errors::failure(&e))?;
        Ok(row.map(|(job, since)| OldestJob { job_id: JobId(job), since }))
    }

    /// The newest failed jobs of each code, among the newest failures since then.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn failure_examples(&self, since: DateTime<Utc>) -> Result<HashMap<String, Vec<JobId>>, Failure> {
        const EXAMPLES_OF_EACH: &str =
            "SELECT failure_code, (array_agg(job_id ORDER BY finished_at DESC, job_id))[1:$3] AS jobs
            FROM (SELECT failure_code, job_id, finished_at FROM analyses
                   WHERE status = 'failed' AND finished_at >= $1 ORDER BY finished_at DESC LIMIT $2) newest
            GROUP BY failure_code";
        let query = sqlx::query_as(EXAMPLES_OF_EACH).bind(since).bind(NEWEST_FAILURES).bind(EXAMPLES);
        let rows: Vec<(String, Vec<Uuid>)> = query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        Ok(rows.into_iter().map(|(code, jobs)| (code, jobs.into_iter().map(JobId).collect())).collect())
    }
}
