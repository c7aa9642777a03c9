//! The command line: each subcommand is a role.

use adapters::config::Settings;
use adapters::postgres::Database;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::alerting::{self, Dispatcher};
use crate::signals;

/// Sends alerts to where people are.
#[derive(Debug, Parser)]
#[command(name = "console", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send alerts to the exchange and the webhooks, until SIGTERM. Any number may run side by side
    Alerts(Alerts),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
struct Alerts {
    /// Send what may be sent now, then end
    #[arg(long)]
    once: bool,
    #[command(subcommand)]
    command: Option<AlertsCommand>,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    /// Show each destination: what waits, what was given up, and why
    Status,
    /// Try again what was given up on a destination, and end its pause
    Retry {
        /// Its name in the rules' file; `amqp` for the exchange
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
        let Command::Alerts(alerts) = self.command;
        match alerts.command {
            None => {
                let variable = |name: &str| std::env::var(name).ok();
                if alerts.once {
                    return Dispatcher::open(&settings, variable)?.once().await;
                }
                let stop = signals::stop().context("listening for signals")?;
                alerting::serve(&settings, variable, stop).await
            }
            Some(AlertsCommand::Status) => {
                let database = Database::connect(&settings.postgres).await?;
                alerting::print_status(&database.deliveries().await?);
                Ok(())
            }
            Some(AlertsCommand::Retry { destination }) => {
                let revived = Database::connect(&settings.postgres).await?.revive(&destination).await?;
                println!("{destination}: {revived} messages are tried again");
                Ok(())
            }
        }
    }
}
