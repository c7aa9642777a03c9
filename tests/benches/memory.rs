//! Memory by length of the recording, and start to ready: `cargo bench -p emofleet-tests --bench memory`; `-- --help` says more.
//!
//! Prints a table: the most that `worker analyze` and a worker of the fleet had in memory for one recording of each length, a call
//! of two channels (8 kHz), of which the customer's is scored; and the time from a worker's start until it takes jobs.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use speech::model::ModelCard;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::ledger::{Entry, Ledger};
use tests::ready;
use tests::rig::Rig;
use tests::speech as voices;

/// Of a start, the median of so many.
const STARTS: usize = 3;
/// As long as the worker's own `worker.job_timeout_s`.
const JOB_TIMEOUT: Duration = Duration::from_secs(1200);
const POLL: Duration = Duration::from_millis(5);

/// Memory for recordings of several lengths, and start to ready.
#[derive(Parser)]
#[command(name = "memory")]
struct Options {
    /// Folders of model.onnx and model.json; repeatable (default: the default model)
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
    /// Lengths of the recordings, seconds
    #[arg(long, value_delimiter = ',', default_value = "10,600,7200")]
    seconds: Vec<u32>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if options.models.is_empty() {
        options.models.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default"));
    }
    tokio::runtime::Runtime::new()?.block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<()> {
    let mut rig = Rig::bring_up().await?;
    let folder = tempfile::tempdir()?;
    println!("| model | start to ready | resident when idle | recording | `worker analyze`, peak | fleet, peak |");
    println!("|---|---|---|---|---|---|");
    for (number, model) in options.models.iter().enumerate() {
        let model = model.canonicalize().with_context(|| format!("no folder {}", model.display()))?;
        rig.direct.model.name = ModelCard::read(&model)?.name;
        rig.direct.model.dir = model;
        let (ready, idle) = starts(&mut rig).await?;
        for seconds in &options.seconds {
            let call = folder.path().join("call.wav");
            write_call(&call, *seconds)?;
            let alone = analyze(&rig, &call, folder.path())?;
            let fleet = through_fleet(&mut rig, &format!("{number}-{seconds}"), std::fs::read(&call)?).await?;
            println!(
                "| {} | {:.2} s | {idle:.0} MiB | {seconds} s | {alone:.0} MiB | {fleet:.0} MiB |",
                rig.direct.model.name,
                ready.as_secs_f64()
            );
        }
    }
    Ok(())
}

/// A call in which the customer speaks first: short ones would have nothing to score otherwise.
fn write_call(out: &Path, seconds: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let whole = folder.path().join("call.wav");
    std::fs::write(&whole, voices::call(seconds + 12)?)?;
    let seconds = seconds.to_string();
    let cut = ["-v", "error", "-y", "-ss", "12", "-t", &seconds, "-i", voices::text(&whole)?, "-c:a", "copy"];
    voices::run("ffmpeg", &[&cut[..], &[voices::text(out)?]].concat())
}

/// Median time until a worker is ready, and its memory then, MiB.
async fn starts(rig: &mut Rig) -> Result<(Duration, f64)> {
    let (mut times, mut resident) = (Vec::new(), 0.0);
    for _ in 0..STARTS {
        times.push(ready::start(rig, &[]).await?);
        resident = rig.resident_mib().context("the worker has ended")?;
        rig.kill_worker(0)?;
    }
    times.sort_unstable();
    Ok((times[STARTS / 2], resident))
}

/// The most that a worker had in memory that did this recording alone, MiB.
async fn through_fleet(rig: &mut Rig, name: &str, bytes: Vec<u8>) -> Result<f64> {
    ready::start(rig, &[]).await?;
    let ledger = Ledger::hand_in(rig, name, &[Entry { bytes, code: None }]).await?;
    let begun = Instant::now();
    while ledger.ended(rig).await? == 0 {
        ensure!(begun.elapsed() < JOB_TIMEOUT, "not done within {JOB_TIMEOUT:?}:\n{}", rig.log_tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let peak = rig.peak_mib().context("the worker has ended")?;
    rig.kill_worker(0)?;
    let audit = ledger.audit(rig).await?;
    ensure!(audit.lost == 0 && audit.duplicated == 0, "{audit:?}");
    Ok(peak)
}

/// The most that `worker analyze` had in memory, MiB.
fn analyze(rig: &Rig, call: &Path, folder: &Path) -> Result<f64> {
    let mut command = rig.program("worker")?;
    let out = folder.join("outputs");
    command
        .arg("analyze")
        .arg(call)
        .arg("--json")
        .arg("--out")
        .arg(&out)
        .envs(ready::environment(rig))
        .stdout(Stdio::null());
    let peak = peak_of(&mut command)?;
    std::fs::remove_dir_all(out)?;
    Ok(peak)
}

fn peak_of(command: &mut Command) -> Result<f64> {
    let mut child: Child = command.spawn()?;
    let mut peak = 0.0_f64;
    loop {
        // Of a process that has ended, Linux says nothing any more.
        peak = peak.max(tests::memory::peak_mib(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("worker analyze failed: {status}");
            }
            return Ok(peak);
        }
        std::thread::sleep(POLL);
    }
}
