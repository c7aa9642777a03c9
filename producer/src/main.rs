//! The `producer` program: reads the command line and the settings, and runs.

use adapters::shutdown::{INTERRUPTED, StopSignals};
use clap::Parser;
use producer::cli::{Cli, Command};
use settings::Settings;
use std::process::ExitCode;

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
    let mut signals = match StopSignals::handle() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("handling signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut out = std::io::stdout();
    // A watcher handles them itself: it finishes what it has in flight.
    let watches = matches!(cli.command, Command::Watch(_));
    let code = tokio::select! {
        outcome = producer::run(&settings, &cli, &mut out) => match outcome {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => {
                eprintln!("{}", domain::visible::visible_lines(&error.to_string()));
                error.exit_code()
            }
        },
        () = signals.next(), if !watches => {
            eprintln!("interrupted: run the same command again to continue");
            INTERRUPTED
        }
    };
    ExitCode::from(code)
}
