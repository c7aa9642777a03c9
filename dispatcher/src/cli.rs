//! The command line: each subcommand is a role.

use adapters::boxed;
use adapters::postgres::Database;
use anyhow::Context;
use clap::{Parser, Subcommand};
use domain::alert::AMQP;
use settings::Settings;

use crate::Dispatcher;

const EXAMPLES: &str = "\
Examples:
  dispatcher run                deliver alerts until SIGTERM; any number may run
  dispatcher run --once         deliver what is due now, then exit (for cron)
  dispatcher status             pending and given-up messages of each destination
  dispatcher retry team-7-chat  retry the messages that were given up there

Rules and destinations are in the file named by the setting `alerts.rules`; config/alerts.toml explains them.";

/// Delivers alerts from the outbox to RabbitMQ's alerts exchange and to webhooks.
#[derive(Debug, Parser)]
#[command(name = "dispatcher", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Deliver alerts until SIGTERM. Any number of dispatchers may run
    Run {
        /// Deliver what is due now, then exit
        #[arg(long)]
        once: bool,
    },
    /// Ask the dispatcher that runs with these settings whether it is ready; for health checks of containers
    Health,
    /// Show each destination: pending messages, given-up messages, the last error
    Status,
    /// Retry the messages of a destination that were given up, and end its pause
    Retry {
        /// Name in the alert file; `amqp` for the exchange
        destination: String,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// With a sentence that says what to do.
    #[boxed]
    pub async fn run(self) -> anyhow::Result<()> {
        let settings = Settings::load()?;
        adapters::telemetry::init(&settings.log).map_err(anyhow::Error::from_boxed)?;
        match self.command {
            Command::Run { once } => {
                let variable = |name: &str| std::env::var(name).ok();
                if once {
                    return Dispatcher::open(&settings, variable)?.once().await;
                }
                let stop = adapters::shutdown::stop_on_signals().context("can't receive signals")?;
                crate::serve(&settings, variable, stop).await
            }
            Command::Health => {
                adapters::health::check(settings.dispatcher.health_addr).await.map_err(anyhow::Error::msg)
            }
            Command::Status => {
                let database = Database::connect(&settings.postgres).await?;
                crate::print_status(&database.destination_status().await?);
                for error in settings.alerts.usable()?.errors {
                    println!("\nset aside: {error}");
                }
                Ok(())
            }
            Command::Retry { destination } => {
                let database = Database::connect(&settings.postgres).await?;
                let retried = retry(&settings, &database, &destination).await?;
                println!("{destination}: {retried} messages will be retried");
                Ok(())
            }
        }
    }
}

/// Retries the messages of a destination that were given up; how many.
///
/// # Errors
/// A name that the alert file does not have, and to which no message ever was; a failure of Postgres.
#[boxed]
pub async fn retry(settings: &Settings, database: &Database, destination: &str) -> anyhow::Result<u64> {
    let mut known: Vec<String> = database.destination_status().await?.into_iter().map(|d| d.destination).collect();
    known.push(AMQP.to_owned());
    if let Ok(usable) = settings.alerts.usable() {
        known.extend(usable.rulebook.destinations.into_iter().map(|d| d.name));
    }
    known.sort();
    known.dedup();
    anyhow::ensure!(
        known.iter().any(|name| name == destination),
        "`{destination}` is no destination; there are {}",
        known.join(", ")
    );
    Ok(database.retry_given_up(destination).await?)
}
