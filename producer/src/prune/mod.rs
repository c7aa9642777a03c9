//! `producer prune`: retention by age, and deletion of one call. Objects are deleted first, rows after:
//! interrupted anywhere in between, the same command finds what is left by its rows.

mod objects;
mod summary;

use adapters::amqp::{DeadLetters, Filter};
use adapters::postgres::{Age, Database, Expired, OpenJobs};
use adapters::retry::{RetryPolicy, retry_while};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgGroup, Args};
use domain::{Failure, FailureCode, JobId};
use settings::Settings;
use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use crate::arguments::age;
use crate::error::{Outcome, ProducerError};
use crate::meter::Meter;
use crate::services::{self, POSTGRES, RABBITMQ};
use objects::Objects;
use summary::Summary;

/// Pruning ends when the store refuses to delete the objects of more jobs than this.
const MOST_REFUSED: usize = 1000;

/// What to delete.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct PruneArgs {
    /// Calls that began longer ago than this, like 90d; at least 1d. A call without a plausible time in its call
    /// data (from 1990 to a day after it was enqueued) counts from when it was first enqueued.
    #[arg(long, value_name = "AGE", group = "which", value_parser = age)]
    pub older_than: Option<Duration>,
    /// The call with this call id, at any age, with its dead letters.
    #[arg(long, value_name = "CALL_ID", group = "which")]
    pub call: Option<String>,
    /// Delete the recordings from the store as well, unless another analysis needs them. With --older-than only
    /// those that were first enqueued as long ago; --confirm for the others.
    #[arg(long)]
    pub recordings: bool,
    /// With --older-than and --recordings: also the COUNT recordings that were enqueued later, though the date in
    /// their call data is older. --dry-run shows the count; with another count nothing is deleted.
    #[arg(long, value_name = "COUNT", requires = "recordings", conflicts_with = "call")]
    pub confirm: Option<u64>,
    /// With --call: also jobs that have not ended. A job that is still in the queue gets a row again when
    /// a worker takes it: then run this again.
    #[arg(long, conflicts_with = "older_than")]
    pub even_unfinished: bool,
    /// Only show what would be deleted.
    #[arg(long)]
    pub dry_run: bool,
    /// Jobs deleted in one transaction.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch_size: u32,
}

/// Runs the command.
///
/// # Errors
/// [`ProducerError::Service`]: also when the store refused to delete objects; their rows are kept.
pub async fn run(
    settings: &Settings,
    args: &PruneArgs,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let before = args.older_than.map(|age| long_ago(Utc::now(), age)).transpose()?;
    let database = services::database(settings, policy).await?;
    if args.dry_run {
        let count = match (before, &args.call) {
            (Some(before), _) => {
                let age = age_of(&database, before, args, policy).await?;
                retry_while(policy, POSTGRES, || database.count_expired(age)).await?
            }
            (None, call) => database.count_of_call(call.as_deref().unwrap_or_default()).await?,
        };
        say(out, &summary::forecast(&count, before, args));
        return Ok(Outcome::Done);
    }
    let age = match before {
        Some(before) => Some(age_of(&database, before, args, policy).await?),
        None => None,
    };
    services::store(settings, policy, settings.s3.artifact_bucket()).await?;
    let mut pruning = Pruning {
        database,
        objects: Objects::open(settings, args.recordings)?,
        policy,
        summary: Summary::default(),
        refused: HashSet::new(),
        refusal: None,
        open_jobs: if args.even_unfinished { OpenJobs::Delete } else { OpenJobs::Keep },
    };
    let outcome = match (age, &args.call) {
        (Some(age), _) => pruning.by_age(age, args.batch_size).await,
        (None, call) => pruning.one_call(settings, call.as_deref().unwrap_or_default()).await,
    };
    // The summary is shown however it ended.
    say(out, &pruning.summary.lines(before));
    outcome?;
    if let Some(failure) = pruning.refusal {
        say(out, &[format!("kept      {} jobs whose objects the store did not delete", pruning.refused.len())]);
        return Err(failure.into());
    }
    Ok(if args.call.is_some() && pruning.summary.open > 0 { Outcome::Incomplete } else { Outcome::Done })
}

struct Pruning {
    database: Database,
    objects: Objects,
    policy: RetryPolicy,
    summary: Summary,
    refused: HashSet<JobId>,
    /// Why the first of those was refused.
    refusal: Option<Failure>,
    open_jobs: OpenJobs,
}

impl Pruning {
    async fn by_age(&mut self, age: Age, batch: u32) -> Result<(), ProducerError> {
        let (database, policy) = (self.database.clone(), self.policy);
        let count = retry_while(policy, POSTGRES, || database.count_expired(age)).await?;
        (self.summary.open, self.summary.late) = (count.open, count.late);
        let meter = Meter::new();
        loop {
            // Jobs whose objects were refused are still the oldest.
            let limit = batch.saturating_add(u32::try_from(self.refused.len()).unwrap_or(u32::MAX));
            let mut expired = retry_while(policy, POSTGRES, || database.expired(age, limit)).await?;
            expired.retain(|job| !self.refused.contains(&job.job_id));
            if expired.is_empty() {
                break;
            }
            self.delete(&expired).await?;
            meter.at(self.summary.rows.analyses, Some(count.analyses), "analyses deleted");
            if self.refused.len() > MOST_REFUSED {
                meter.clear();
                return Ok(());
            }
        }
        meter.clear();
        self.summary.months = retry_while(policy, POSTGRES, || database.drop_empty_months(age.before)).await?;
        Ok(())
    }

    async fn one_call(&mut self, settings: &Settings, call: &str) -> Result<(), ProducerError> {
        let (database, policy) = (self.database.clone(), self.policy);
        let known = retry_while(policy, POSTGRES, || database.analyses_of_call(call, self.open_jobs)).await?;
        // A dead letter has the call data. The row is deleted last: the next run finds what is left by it.
        let jobs = Some(known.iter().map(|job| job.job_id).collect());
        let (dead, filter) = (DeadLetters::new(&settings.amqp), Filter { jobs, ..Filter::default() });
        self.summary.dead_letters = retry_while(policy, RABBITMQ, || dead.discard(&filter)).await?;
        self.delete(&known).await?;
        self.summary.open = retry_while(policy, POSTGRES, || database.count_of_call(call)).await?.open;
        Ok(())
    }

    /// Objects, then rows; the rows of jobs whose objects could not be deleted are kept.
    async fn delete(&mut self, jobs: &[Expired]) -> Result<(), ProducerError> {
        let mut gone = Vec::with_capacity(jobs.len());
        let mut away = None;
        for (job, outcome) in self.objects.delete(jobs, self.policy).await {
            match outcome {
                Ok(deleted) => {
                    self.summary.objects += deleted;
                    gone.push(job);
                }
                Err(failure) if failure.code == FailureCode::StoreUnreachable => away = Some(failure),
                Err(failure) => {
                    self.refused.insert(job);
                    self.refusal.get_or_insert(failure);
                }
            }
        }
        let (database, open_jobs) = (&self.database, self.open_jobs);
        self.summary.rows += retry_while(self.policy, POSTGRES, || database.prune(&gone, open_jobs)).await?;
        away.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

/// Which calls to delete. A date in call data alone deletes no recording, unless their number is confirmed.
async fn age_of(
    database: &Database,
    before: DateTime<Utc>,
    args: &PruneArgs,
    policy: RetryPolicy,
) -> Result<Age, ProducerError> {
    let age = Age { before, ingested_too: args.recordings };
    let Some(confirmed) = args.confirm else { return Ok(age) };
    let late = retry_while(policy, POSTGRES, || database.count_expired(age)).await?.late;
    if confirmed != late {
        return Err(ProducerError::input(format!(
            "--confirm {confirmed}: there are {late} recordings that were enqueued later than the date in their call \
             data says; nothing was deleted. Look at them with --dry-run, then confirm their number"
        )));
    }
    Ok(Age { ingested_too: false, ..age })
}

fn long_ago(now: DateTime<Utc>, age: Duration) -> Result<DateTime<Utc>, ProducerError> {
    let before = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
    before.ok_or_else(|| ProducerError::input("--older-than reaches back too far"))
}

fn say(out: &mut impl Write, lines: &[String]) {
    // A closed output is no failure.
    let _ = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
}
