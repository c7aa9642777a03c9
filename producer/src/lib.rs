//! The producer: the command line of a fleet. It enqueues recordings, follows batches, shows results, replays dead
//! letters, and deletes old calls.
#![warn(clippy::print_stderr)] // programs log; what asks or reports on a terminal says so

pub mod alerts;
mod arguments;
pub mod cli;
pub mod dates;
pub mod dlq;
pub mod enqueue;
mod error;
pub mod follow;
pub mod manifest;
pub mod meter;
mod migrate;
pub mod prune;
pub mod reconcile;
pub mod results;
pub mod review;
pub mod services;
mod sheet;
pub mod source;
pub mod status;
pub mod table;
pub mod watch;

pub use enqueue::Summary;
pub use error::{Outcome, ProducerError};

use adapters::boxed;
use adapters::retry::RetryPolicy;
use settings::Settings;
use std::io::Write;

use cli::{Cli, Command};

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
        Command::Migrate(args) => migrate::run(settings, args, policy, out).await,
        Command::Bucket => {
            for bucket in services::create_buckets(settings, policy).await? {
                let _ = writeln!(out, "the bucket `{bucket}` is there");
            }
            Ok(Outcome::Done)
        }
        Command::Enqueue(args) => enqueue::run(settings, args, policy, out).await,
        Command::Health => {
            let address = settings.watch.health_addr();
            let address = address.ok_or_else(|| ProducerError::input("watch.health_addr is not set"))?;
            adapters::health::check(address).await.map_err(ProducerError::Input)?;
            Ok(Outcome::Done)
        }
        Command::Watch(args) => Box::pin(watch::run(settings, args, policy, out)).await,
        Command::Wait(args) => follow::run(settings, args, policy, out).await,
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
