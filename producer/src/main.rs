//! The `producer` program: reads the command line and the settings, and runs.

use clap::Parser;
use producer::cli::Cli;
use settings::Settings;
use std::process::ExitCode;

/// By convention, 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = adapters::telemetry::init(&settings.log) {
        eprintln!("configuration: `log.filter`: {error}");
        return ExitCode::from(2);
    }
    let mut out = std::io::stdout();
    let code = tokio::select! {
        outcome = producer::run(&settings, &cli, &mut out) => match outcome {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => {
                eprintln!("{error}");
                error.exit_code()
            }
        },
        _ = tokio::signal::ctrl_c() => {
            eprintln!("interrupted: the same command again goes on where this one ended");
            INTERRUPTED
        }
    };
    ExitCode::from(code)
}
