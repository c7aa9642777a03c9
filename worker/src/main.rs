//! The `worker` command.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    worker::memory::limit_arenas();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    match worker::cli::Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}
