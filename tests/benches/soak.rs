//! Resident memory of one worker over thousands of jobs:
//! `./run.sh env` in the shell, then `cargo bench -p emofleet-tests --bench soak [-- JOBS]`.
//!
//! Prints the memory after each 200 jobs; the last should be within 10 % of the first.

use anyhow::{Context, Result};
use tests::ledger::{Entry, Ledger};
use tests::rig::Rig;
use tests::speech;

const STEP: usize = 200;

fn main() -> Result<()> {
    let jobs = std::env::args().filter_map(|a| a.parse().ok()).next_back().unwrap_or(2000);
    tokio::runtime::Runtime::new()?.block_on(soak(jobs))
}

async fn soak(jobs: usize) -> Result<()> {
    let mut rig = Rig::bring_up().await?;
    let formats: [(&str, &[&str]); 5] = [
        ("a.wav", &["-ar", "16000"]),
        ("a.mp3", &["-ar", "44100"]),
        ("a.m4a", &["-ar", "48000"]),
        ("a.flac", &["-ar", "96000"]),
        ("a.opus", &[]),
    ];
    let mut sounds = formats.iter().map(|(n, o)| speech::encoded(n, o)).collect::<Result<Vec<_>>>()?;
    sounds.push(speech::call(60)?);
    let entries: Vec<_> = (0..jobs).map(|i| Entry { bytes: sounds[i % sounds.len()].clone(), code: None }).collect();
    let ledger = Ledger::hand_in(&rig, "soak", &entries).await?;
    rig.start_worker()?;
    let begun = std::time::Instant::now();
    let mut first = None;
    println!("{:>6} {:>12} {:>10}", "jobs", "resident MiB", "jobs/s");
    for step in (STEP..=jobs).step_by(STEP) {
        ledger.until(&rig, step).await?;
        let resident = rig.resident_mib().context("the worker has ended")?;
        first.get_or_insert(resident);
        println!("{step:>6} {resident:>12.1} {:>10.1}", step as f64 / begun.elapsed().as_secs_f64());
    }
    let (first, last) = (first.context("at least 200 jobs")?, rig.resident_mib().context("the worker has ended")?);
    println!("last against first: {:+.1} %", (last / first - 1.0) * 100.0);
    let audit = ledger.audit(&rig).await?;
    println!("lost {}, duplicated {}", audit.lost, audit.duplicated);
    Ok(())
}
