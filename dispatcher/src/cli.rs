//! The command line: each subcommand is a role.

use adapters::postgres::Database;
use anyhow::Context;
use clap::{Parser, Subcommand};
use settings::Settings;

use crate::Dispatcher;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  dispatcher run                deliver alerts until SIGTERM; any number may run side by side
  dispatcher run --once         deliver what is due now, then end (for cron)
  dispatcher status             what waits at each destination, and why
  dispatcher retry team-7-chat  try again what was given up there

Rules and destinations: the file named in `alerts.rules`; config/alerts.toml explains them.";

/// Delivers alerts from the outbox to RabbitMQ's alerts exchange and to webhooks.
#[derive(Debug, Parser)]
#[command(name = "dispatcher", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Deliver alerts until SIGTERM. Any number may run side by side
    Run {
        /// Deliver what is due now, then end
        #[arg(long)]
        once: bool,
    },
    /// Show each destination: what waits, what was given up, and why
    Status,
    /// Try again what was given up at a destination, and end its pause
    Retry {
        /// Its name in the alert file; `amqp` for the exchange
        destination: String,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// With a sentence that says what to do.
    pub async fn run(self) -> anyhow::Result<()> {
        let settings = Settings::load()?;
        adapters::telemetry::init(&settings.log).map_err(anyhow::Error::from_boxed)?;
        match self.command {
            Command::Run { once } => {
                let variable = |name: &str| std::env::var(name).ok();
                if once {
                    return Dispatcher::open(&settings, variable)?.once().await;
                }
                let stop = signals::stop().context("listening for signals")?;
                crate::serve(&settings, variable, stop).await
            }
            Command::Status => {
                let database = Database::connect(&settings.postgres).await?;
                crate::print_status(&database.deliveries().await?);
                Ok(())
            }
            Command::Retry { destination } => {
                let revived = Database::connect(&settings.postgres).await?.revive(&destination).await?;
                println!("{destination}: {revived} messages are tried again");
                Ok(())
            }
        }
    }
}
