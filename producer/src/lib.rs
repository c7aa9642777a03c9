//! The producer: enqueues recordings, follows batches, keeps the dead letters.

pub mod alerts;
mod arguments;
pub mod cli;
pub mod dlq;
pub mod enqueue;
mod error;
mod folder;
pub mod follow;
pub mod manifest;
pub mod meter;
pub mod prune;
mod recordings;
pub mod results;
pub mod review;
pub mod services;
mod sheet;
pub mod source;
pub mod status;
pub mod table;
mod times;
mod upload;

pub use enqueue::Summary;
pub use error::{Outcome, ProducerError};

use adapters::postgres::Database;
use settings::Settings;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use cli::{Cli, Command, EnqueueArgs};
use follow::Followed;
use meter::{Meter, clock};
use services::Patience;

/// Does what the command line says; what it prints goes to `out`, progress to standard error.
///
/// # Errors
/// [`ProducerError`], whose exit code tells wrong input from a service that failed.
pub async fn run(settings: &Settings, cli: &Cli, out: &mut impl Write) -> Result<Outcome, ProducerError> {
    let patience = if cli.no_wait_for_services { Patience::None } else { Patience::Endless };
    match &cli.command {
        Command::Migrate => {
            let connect = || Database::connect(&settings.postgres);
            patience.with("Postgres", connect).await?.migrate().await?;
            let _ = writeln!(out, "the database's tables are up to date");
            Ok(Outcome::Done)
        }
        Command::Enqueue(args) => enqueue_and_tell(settings, args, patience, out).await,
        Command::Wait(args) => {
            let database = patience.database(settings).await?;
            let batch = status::batch(&database, &args.batch).await?;
            let meter = Meter::new();
            let followed = follow::follow(&database, batch.id, args.timeout, patience, &meter).await?;
            Ok(tell_followed(&batch.name, &followed, out))
        }
        Command::Status(args) => {
            status::write(settings, &args.batch, patience, out).await?;
            Ok(Outcome::Done)
        }
        Command::Results(args) => {
            let database = patience.database(settings).await?;
            let batch = status::batch(&database, &args.batch).await?;
            results::write(&database, batch.id, args, out).await?;
            Ok(Outcome::Done)
        }
        Command::Dlq(command) => dlq::run(settings, command, patience, out).await,
        Command::Alerts(command) => alerts::run(settings, command, patience, out).await,
        Command::Review(command) => review::run(settings, command, patience, out).await,
        Command::Prune(args) => prune::run(settings, args, patience, out).await,
    }
}

async fn enqueue_and_tell(
    settings: &Settings,
    args: &EnqueueArgs,
    patience: Patience,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let meter = Arc::new(Meter::new());
    let summary = enqueue::enqueue(settings, args, patience, meter).await?;
    let _ = summary_lines(&summary, args).iter().try_for_each(|line| writeln!(out, "{line}"));
    let complete = if summary.left_out > 0 && !args.skip_bad_lines { Outcome::Incomplete } else { Outcome::Done };
    if !args.wait || args.dry_run {
        return Ok(complete);
    }
    let database = patience.database(settings).await?;
    let batch = domain::BatchId::from_name(&summary.batch);
    let followed = follow::follow(&database, batch, args.timeout, patience, &Meter::new()).await?;
    let outcome = tell_followed(&summary.batch, &followed, out);
    Ok(if outcome == Outcome::Done { complete } else { outcome })
}

fn summary_lines(summary: &Summary, args: &EnqueueArgs) -> Vec<String> {
    let Summary { listed, bytes, not_audio, uploaded, known, enqueued, left_out, .. } = summary;
    let size = *bytes as f64 / 1e6;
    let mut lines =
        vec![format!("batch     {}", summary.batch), format!("found     {listed} recordings, {size:.1} MB")];
    if *not_audio > 0 {
        lines.push(format!("          {not_audio} others left out by their names (--all takes them)"));
    }
    if *left_out > 0 {
        lines.push(format!("          {left_out} lines of the manifest left out"));
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
    let took = summary.took.max(Duration::from_millis(1)).as_secs_f64();
    lines.push(format!("enqueued  {enqueued} in {took:.1} s, {:.0} a second", summary.rate()));
    lines
}

fn tell_followed(name: &str, followed: &Followed, out: &mut impl Write) -> Outcome {
    let (progress, outcome) = (&followed.progress, followed.outcome());
    let took = followed.took.as_secs_f64();
    let _ = writeln!(out, "{name}: {} done, {} failed, after {}", progress.done, progress.failed, clock(took));
    let advice = match outcome {
        Outcome::SomeFailed => Some("`producer results --failed` says why".to_owned()),
        Outcome::TimedOut => {
            let open = progress.total - progress.ended();
            Some(format!("{open} are still open; `producer wait` goes on waiting"))
        }
        Outcome::Done | Outcome::Incomplete => None,
    };
    if let Some(advice) = advice {
        let _ = writeln!(out, "{advice}");
    }
    outcome
}
