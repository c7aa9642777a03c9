//! Two hours of random faults: `cargo bench -p emofleet-tests --bench chaos [-- --seed N --jobs N --minutes N --gap SECONDS]`.
//!
//! The seed is printed first; by default it is the clock. Ends with exit code 1 when something is lost, left over, twice or
//! wrong, and says what. docs/delivery.md says what happens.

use anyhow::{Context, Result, bail};
use std::process::ExitCode;
use std::time::Duration;
use tests::chaos::plan::Size;

fn main() -> Result<ExitCode> {
    let mut seed = u64::try_from(chrono::Utc::now().timestamp())?;
    let (mut jobs, mut minutes, mut gap) = (3000_usize, 120.0_f64, 5.0_f64);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--seed" => seed = value.parse()?,
            "--jobs" => jobs = value.parse()?,
            "--minutes" => minutes = value.parse()?,
            "--gap" => gap = value.parse()?,
            _ => bail!("unknown option {name}; there are --seed --jobs --minutes --gap"),
        }
    }
    let (length, gap) = (Duration::from_secs_f64(minutes * 60.0), Duration::from_secs_f64(gap));
    let size = Size { jobs, chunk: (jobs / 60).max(5), length, gap };
    let problems = tokio::runtime::Runtime::new()?.block_on(tests::chaos::run(seed, size))?;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
