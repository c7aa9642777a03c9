//! The command line: the subcommands of the worker's binary.

mod analyze;
mod check;
mod compare;
mod render;

use adapters::boxed;
use clap::{Parser, Subcommand};
use settings::Settings;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::pipeline::Stop;

const EXAMPLES: &str = "\
Examples:
  worker run                                  take jobs from RabbitMQ until SIGTERM
  worker analyze call.wav                     analyse one file, without any service
  worker analyze --channels 0=agent,1=customer --granularity frame calls/*.flac
  worker model check models/default           verify a model, print its speed and memory
  worker model compare models/default DIR call.wav

Settings: config/default.toml lists them all; EMOFLEET__SECTION__KEY in the environment, or a TOML
file named in EMOFLEET_CONFIG, changes them.";

/// Recognises emotions in recordings of speech.
#[derive(Debug, Parser)]
#[command(name = "worker", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take jobs from RabbitMQ until SIGTERM or Ctrl-C, then drain
    Run,
    /// Ask the worker that runs with these settings whether it is ready; for health checks of containers
    Health,
    /// Analyse local files and print the result; writes outputs/outputs_<time>/
    Analyze(analyze::Analyze),
    /// Verify and compare models
    #[command(subcommand)]
    Model(ModelCommand),
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Verify a model folder, warm it up, and print its speed and memory
    Check {
        /// Folder of model.onnx and model.json
        dir: PathBuf,
    },
    /// Run two models on the same recordings, side by side: speed and agreement
    Compare(compare::Compare),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// With a sentence that says what to do.
    #[boxed]
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut settings = Settings::load()?;
        if !matches!(self.command, Command::Run) && std::env::var_os("EMOFLEET__LOG__FILTER").is_none() {
            // For single files the terminal shows the result, not the log.
            settings.log.filter = "warn,symphonia=error".into();
        }
        adapters::telemetry::init(&settings.log).map_err(anyhow::Error::from_boxed)?;
        match self.command {
            Command::Run => {
                let stop = Stop::on_signals()?;
                Box::pin(crate::service::run(settings, stop)).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Health => {
                adapters::health::check(settings.worker.health_addr).await.map_err(anyhow::Error::msg)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Analyze(analyze) => blocking(move || analyze.run(&settings)).await,
            Command::Model(ModelCommand::Check { dir }) => blocking(move || check::run(&settings, &dir)).await,
            Command::Model(ModelCommand::Compare(compare)) => blocking(move || compare.run(&settings)).await,
        }
    }
}

async fn blocking(work: impl FnOnce() -> anyhow::Result<ExitCode> + Send + 'static) -> anyhow::Result<ExitCode> {
    tokio::task::spawn_blocking(work).await?
}
