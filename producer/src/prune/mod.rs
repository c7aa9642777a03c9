//! `producer prune`: retention by age, and deletion of one call, by [`adapters::retention`].

mod clock;
mod summary;

use adapters::postgres::{Age, Database, Expired, LastPrune, OpenJobs};
use adapters::retention::Eraser;
use adapters::retry::{RetryPolicy, retry_while};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::{ArgGroup, Args};
use settings::Settings;
use std::io::Write;
use std::time::Duration;

use crate::arguments::age;
use crate::error::{Outcome, ProducerError};
use crate::meter::Meter;
use crate::services::{self, POSTGRES};
use summary::Summary;

/// Pruning ends when the store refuses to delete the objects of more jobs than this.
const MOST_REFUSED: usize = 1000;

/// Longest wait for dead letters that another program has in flight.
const LETTERS_WAIT: Duration = Duration::from_secs(10);

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
    /// With --call: also jobs that have not ended. A worker that has one stores nothing of it.
    #[arg(long, conflicts_with = "older_than")]
    pub even_unfinished: bool,
    /// With --older-than: the day that it is (UTC, like 2026-11-26), where it asks whether the clock is right.
    #[arg(long, value_name = "DATE", conflicts_with = "call")]
    pub today: Option<NaiveDate>,
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
    let now = Utc::now();
    let before = args.older_than.map(|age| long_ago(now, age)).transpose()?;
    let database = services::database(settings, policy).await?;
    let this = LastPrune { at: now, boot: clock::boot() };
    let doubt = match before {
        Some(_) => {
            let (by_postgres, last) = retry_while(policy, POSTGRES, || database.last_prune()).await?;
            clock::doubt(now, by_postgres, &this.boot, last.as_ref())
        }
        None => None,
    };
    if args.dry_run {
        say(out, &doubt.into_iter().map(|doubt| format!("question  {doubt}")).collect::<Vec<_>>());
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
    clock::confirm(now, doubt, args.today)?;
    let age = match before {
        Some(before) => Some(age_of(&database, before, args, policy).await?),
        None => None,
    };
    services::store(settings, policy, settings.s3.artifact_bucket()).await?;
    let open_jobs = if args.even_unfinished { OpenJobs::Delete } else { OpenJobs::Keep };
    let eraser = Eraser::new(database.clone(), &settings.s3, &settings.amqp, args.recordings, open_jobs, policy)?;
    let mut pruning = Pruning { database, eraser, policy, summary: Summary::default(), open_jobs };
    let outcome = match (age, &args.call) {
        (Some(age), _) => {
            retry_while(policy, POSTGRES, || pruning.database.note_prune(&this)).await?;
            pruning.by_age(age, args.batch_size).await
        }
        (None, call) => pruning.one_call(call.as_deref().unwrap_or_default()).await,
    };
    // The summary is shown however it ended.
    say(out, &pruning.summary.lines(before));
    outcome?;
    let erased = pruning.summary.erased;
    if let Some(failure) = erased.refusal {
        say(
            out,
            &[format!(
                "kept      {} jobs whose objects the store, or whose rows Postgres, did not delete",
                erased.refused.len()
            )],
        );
        return Err(failure.into());
    }
    let of_call = pruning.summary.open > 0 || erased.letters_away > 0 || erased.letter_readers > 0;
    let incomplete = erased.letters_left.is_some() || (args.call.is_some() && of_call);
    Ok(if incomplete { Outcome::Incomplete } else { Outcome::Done })
}

struct Pruning {
    database: Database,
    eraser: Eraser,
    policy: RetryPolicy,
    summary: Summary,
    open_jobs: OpenJobs,
}

impl Pruning {
    async fn by_age(&mut self, age: Age, batch: u32) -> Result<(), ProducerError> {
        let (database, policy) = (self.database.clone(), self.policy);
        let count = retry_while(policy, POSTGRES, || database.count_expired(age)).await?;
        (self.summary.open, self.summary.late) = (count.open, count.late);
        let meter = Meter::new();
        let mut last: Option<Expired> = None;
        loop {
            // What is kept, or was refused, is not looked at again.
            let expired = retry_while(policy, POSTGRES, || database.expired(age, last.as_ref(), batch)).await?;
            if expired.is_empty() {
                break;
            }
            self.eraser.erase(&expired, &mut self.summary.erased).await?;
            meter.at(self.summary.erased.rows.analyses, Some(count.analyses), "analyses deleted");
            if self.summary.erased.refused.len() > MOST_REFUSED {
                meter.clear();
                return Ok(());
            }
            last = expired.into_iter().next_back();
        }
        meter.clear();
        self.summary.months = retry_while(policy, POSTGRES, || database.drop_empty_months(age.before)).await?;
        self.eraser.drop_letters_of_deleted(&mut self.summary.erased).await;
        Ok(())
    }

    async fn one_call(&mut self, call: &str) -> Result<(), ProducerError> {
        let (database, policy) = (self.database.clone(), self.policy);
        let known = retry_while(policy, POSTGRES, || database.analyses_of_call(call, self.open_jobs)).await?;
        self.eraser.erase_with_dead_letters(&known, Some(call), LETTERS_WAIT, &mut self.summary.erased).await?;
        self.summary.open = retry_while(policy, POSTGRES, || database.count_of_call(call)).await?.open;
        Ok(())
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
