//! The producer: the command line of a fleet. It enqueues recordings, follows batches, shows results, replays dead
//! letters, and deletes old calls.
#![warn(clippy::print_stderr)] // programs log; what asks or reports on a terminal says so

pub mod alerts;
mod arguments;
mod batch_name;
pub mod cli;
pub mod dates;
pub mod dlq;
pub mod enqueue;
mod enqueuer;
mod error;
mod folder;
pub mod follow;
mod follow_elsewhere;
mod index;
pub mod job_args;
pub mod manifest;
pub mod meter;
pub mod open_jobs;
pub mod prune;
pub mod reconcile;
mod recordings;
mod registration;
pub mod results;
pub mod review;
pub mod services;
mod sheet;
pub mod source;
pub mod status;
pub mod table;
mod unserved;
mod upload;
pub mod watch;

pub use enqueue::Summary;
pub use error::{Outcome, ProducerError};

use adapters::boxed;
use adapters::postgres::Database;
use adapters::retry::{RetryPolicy, retry_while};
use domain::BatchId;
use domain::visible::visible;
use settings::Settings;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::{Cli, Command, EnqueueArgs};
use follow::Followed;
use meter::{Meter, clock};
use services::POSTGRES;

/// Runs the command. Its output goes to `out`, progress to standard error.
///
/// # Errors
/// [`ProducerError`], whose exit code distinguishes wrong input from a service that failed.
#[boxed(?Send)]
pub async fn run(settings: &Settings, cli: &Cli, out: &mut (dyn Write + Send)) -> Result<Outcome, ProducerError> {
    let out = &mut { out };
    let policy = if cli.no_wait_for_services { RetryPolicy::NEVER } else { RetryPolicy::ENDLESS };
    let policy = policy.on_stderr();
    match &cli.command {
        Command::Migrate(args) => {
            let connect = || Database::connect(&settings.postgres);
            let database = retry_while(policy, POSTGRES, connect).await?;
            retry_while(policy, POSTGRES, || database.migrate()).await?;
            let _ = writeln!(out, "the database's tables are up to date");
            if args.roles {
                let grant = || database.grant_roles(&settings.postgres);
                let logins = retry_while(policy, POSTGRES, grant).await?;
                let none = "no role has a password in the settings";
                let logins = if logins.is_empty() { none.to_owned() } else { logins.join(", ") };
                let _ = writeln!(out, "the database's roles have their rights; those that may log in: {logins}");
            }
            Ok(Outcome::Done)
        }
        Command::Bucket => {
            for bucket in services::create_buckets(settings, policy).await? {
                let _ = writeln!(out, "the bucket `{bucket}` is there");
            }
            Ok(Outcome::Done)
        }
        Command::Enqueue(args) => enqueue_and_report(settings, args, policy, out).await,
        Command::Health => {
            let address = settings.watch.health_addr();
            let address = address.ok_or_else(|| ProducerError::input("watch.health_addr is not set"))?;
            adapters::health::check(address).await.map_err(ProducerError::Input)?;
            Ok(Outcome::Done)
        }
        Command::Watch(args) => Box::pin(watch::run(settings, args, policy, out)).await,
        Command::Wait(args) => {
            let database = services::database(settings, policy).await?;
            if let Some(model) = &args.model {
                let meter = Meter::new();
                let (most, timeout) = (args.at_most, args.timeout);
                let open = open_jobs::until_at_most(settings, &database, model, most, timeout, policy, &meter).await?;
                let _ = writeln!(out, "{open} jobs for {model} are open");
                return Ok(if open > args.at_most { Outcome::TimedOut } else { Outcome::Done });
            }
            let batch = status::batch(&database, &args.batch).await?;
            follow_and_report(settings, &database, (batch.id, &batch.name), args.timeout, policy, out).await
        }
        Command::Status(args) => {
            status::write(settings, &args.batch, policy, out).await?;
            Ok(Outcome::Done)
        }
        Command::Results(args) => {
            let database = services::database(settings, policy).await?;
            let batch = status::batch(&database, &args.batch).await?;
            results::write(&database, batch.id, args, out).await?;
            Ok(Outcome::Done)
        }
        Command::Reconcile(args) => reconcile::run(settings, args, policy, out).await,
        Command::Dlq(command) => dlq::run(settings, command, policy, out).await,
        Command::Alerts(command) => alerts::run(settings, command, policy, out).await,
        Command::Review(command) => review::run(settings, command, policy, out).await,
        Command::Prune(args) => prune::run(settings, args, policy, out).await,
    }
}

async fn enqueue_and_report(
    settings: &Settings,
    args: &EnqueueArgs,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let meter = Arc::new(Meter::new());
    let summary = enqueue::enqueue(settings, args, policy, meter).await?;
    let _ = summary_lines(&summary, args).iter().try_for_each(|line| writeln!(out, "{line}"));
    let lines = if args.skip_bad_lines { 0 } else { summary.skipped_lines };
    let complete = if lines + summary.left_out > 0 { Outcome::LeftOut } else { Outcome::Done };
    if !args.wait || args.dry_run {
        return Ok(complete);
    }
    let database = services::database(settings, policy).await?;
    let batch = BatchId::from_name(&summary.batch);
    let batch = (batch, summary.batch.as_str());
    let begun = Instant::now();
    let mut outcome = follow_and_report(settings, &database, batch, args.timeout, policy, out).await?;
    if !summary.open_elsewhere.is_empty() && outcome != Outcome::TimedOut {
        let left = args.timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
        let options = args.job.options(&settings.model.name);
        let jobs = (options.model.as_str(), summary.open_elsewhere);
        let elsewhere = follow_elsewhere::follow(settings, &database, jobs, left, policy, &Meter::new()).await?;
        let _ = writeln!(out, "{elsewhere}");
        outcome = elsewhere.outcome().unwrap_or(outcome);
    }
    Ok(if outcome == Outcome::Done { complete } else { outcome })
}

fn summary_lines(summary: &Summary, args: &EnqueueArgs) -> Vec<String> {
    let Summary { listed, bytes, not_audio, uploaded, known, forgotten, enqueued, skipped_lines, left_out, .. } =
        summary;
    let repeated = summary.repeated_lines;
    let size = *bytes as f64 / 1e6;
    let mut lines =
        vec![format!("batch     {}", summary.batch), format!("found     {listed} recordings, {size:.1} MB")];
    if *not_audio > 0 {
        lines.push(format!("          {not_audio} others skipped by their names (--all takes them)"));
    }
    if repeated > 0 {
        lines.push(format!("          {repeated} further lines of the manifest are about these recordings"));
    }
    if *skipped_lines > 0 {
        lines.push(format!("          {skipped_lines} lines of the manifest skipped"));
    }
    if *left_out > 0 {
        lines.push(format!("          {left_out} left out, for the reasons told above"));
    }
    if args.dry_run {
        lines.push("          nothing was uploaded or enqueued (--dry-run)".into());
        return lines;
    }
    if *uploaded > 0 {
        lines.push(format!("uploaded  {uploaded}"));
    }
    if *known > 0 {
        lines.push(format!("known     {known} already{}", if args.force { "" } else { " (--force analyses again)" }));
    }
    if !summary.open_elsewhere.is_empty() {
        lines
            .push(format!("          {} of them are not analysed yet, in other batches", summary.open_elsewhere.len()));
    }
    if *forgotten > 0 {
        lines.push(format!(
            "deleted   {forgotten} before (job.deleted): they stay deleted (--force analyses them again)"
        ));
    }
    let took = summary.took.max(Duration::from_millis(1)).as_secs_f64();
    lines.push(format!("enqueued  {enqueued} in {took:.1} s, {:.0} a second", summary.rate()));
    lines
}

/// Waits for the end of a batch, and reports it.
async fn follow_and_report(
    settings: &Settings,
    database: &Database,
    (batch, name): (BatchId, &str),
    timeout: Option<Duration>,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let followed = follow::follow(settings, database, batch, timeout, policy, &Meter::new()).await?;
    let outcome = report_followed(name, &followed, out);
    if followed.timed_out {
        let open = retry_while(policy, POSTGRES, || database.open_jobs_of(&batch)).await?;
        for sentence in unserved::ask(settings, &open).await {
            let _ = writeln!(out, "{}", visible(&sentence));
        }
    }
    Ok(outcome)
}

fn report_followed(name: &str, followed: &Followed, out: &mut impl Write) -> Outcome {
    let (progress, outcome) = (&followed.progress, followed.outcome());
    let took = followed.took.as_secs_f64();
    let _ = writeln!(out, "{name}: {} done, {} failed, after {}", progress.done, progress.failed, clock(took));
    let advice = match outcome {
        Outcome::SomeFailed => Some("`producer results --failed` says why".to_owned()),
        Outcome::TimedOut => {
            let open = progress.total - progress.ended();
            Some(format!("{open} are still open; `producer wait` continues to wait"))
        }
        Outcome::Done | Outcome::Incomplete | Outcome::LeftOut => None,
    };
    if let Some(advice) = advice {
        let _ = writeln!(out, "{advice}");
    }
    outcome
}
