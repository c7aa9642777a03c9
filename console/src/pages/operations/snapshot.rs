//! The state of the fleet at one moment, for all who look at it.

use adapters::amqp::Depth;
use adapters::postgres::console::{JobCounts, OldestJob, Period};
use adapters::postgres::{BatchSummary, Database, DestinationStatus};
use chrono::{DateTime, TimeDelta, Utc};
use domain::visible::visible;
use domain::{Failure, FailureCode, JobId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use crate::api::model::file_name;
use crate::app::App;
use crate::problem::Problem;

/// How long a state is shown again: each may cost a second of the database.
const FRESH: Duration = Duration::from_secs(4);
/// Longest that one question to the database may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// Connections for these questions.
const CONNECTIONS: u32 = 4;
/// Days in which failures are counted.
const DAYS: i64 = 30;
/// Batches shown.
const BATCHES: u32 = 10;
/// Codes shown.
const CODES: usize = 20;

/// Reads the state of the fleet. Those who ask at the same time get the same one.
pub(crate) struct Operations {
    latest: Mutex<Option<(Instant, Arc<Snapshot>)>>,
    /// On a busy server these questions are the first to be given up: the server ends them too.
    database: Database,
}

/// The state of the fleet; what could not be read says why.
pub(super) struct Snapshot {
    pub(super) at: DateTime<Utc>,
    pub(super) queues: Result<Vec<Depth>, Problem>,
    pub(super) jobs: Result<(JobCounts, Option<OldestJob>), Problem>,
    pub(super) failures: Result<Vec<FailureLine>, Problem>,
    pub(super) batches: Result<Vec<BatchSummary>, Problem>,
    pub(super) destinations: Result<Vec<DestinationStatus>, Problem>,
}

/// Failures with one code.
pub(super) struct FailureLine {
    pub(super) code: String,
    pub(super) failures: u64,
    pub(super) latest: DateTime<Utc>,
    /// Names of recordings that failed so.
    pub(super) examples: Vec<(JobId, String)>,
}

impl Operations {
    pub(crate) fn new(database: &Database) -> Self {
        Self { latest: Mutex::default(), database: database.bounded(CONNECTIONS, PATIENCE) }
    }

    /// The state at most four seconds ago.
    pub(super) async fn now(&self, app: &App) -> Arc<Snapshot> {
        let mut latest = self.latest.lock().await;
        if let Some((at, snapshot)) = &*latest
            && at.elapsed() < FRESH
        {
            return snapshot.clone();
        }
        let snapshot = Arc::new(read(app, &self.database).await);
        *latest = Some((Instant::now(), snapshot.clone()));
        snapshot
    }
}

async fn read(app: &App, database: &Database) -> Snapshot {
    let jobs = async { Ok((database.job_counts().await?, database.oldest_queued().await?)) };
    let queues = async { app.workers.depths().await.map_err(Problem::from) };
    let (queues, jobs, failures, batches, destinations) = tokio::join!(
        queues,
        in_time(jobs),
        in_time(failures(database)),
        in_time(database.batches(BATCHES)),
        in_time(database.destination_status()),
    );
    Snapshot { at: Utc::now(), queues, jobs, failures, batches, destinations }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Problem> {
    let late = || Failure::new(FailureCode::DatabaseUnreachable, format!("no answer within {} s", PATIENCE.as_secs()));
    Ok(tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))?)
}

async fn failures(database: &Database) -> Result<Vec<FailureLine>, Failure> {
    let to = Utc::now();
    let period = Period { from: to - TimeDelta::days(DAYS), to, team: None };
    let mut counts = database.failure_counts(&period).await?;
    counts.truncate(CODES);
    let mut examples = database.failure_examples(period.from).await?;
    let jobs: Vec<JobId> = examples.values().flatten().copied().collect();
    let rows = database.analyses_by_id(&jobs).await?.into_iter();
    let names: HashMap<JobId, String> =
        rows.map(|row| (row.job_id, visible(file_name(&row.recording.key)).into_owned())).collect();
    let lines = counts.into_iter().map(|count| {
        let jobs = examples.remove(&count.code).unwrap_or_default().into_iter();
        let examples = jobs.filter_map(|job| Some((job, names.get(&job)?.clone()))).collect();
        FailureLine { code: count.code, failures: count.failures, latest: count.latest, examples }
    });
    Ok(lines.collect())
}
