//! The fleet against the bare model: `cargo bench -p emofleet-tests --bench throughput [-- [JOBS [ROUNDS]]]`; `-- --help` says more.
//!
//! In turns, one worker process with default settings scores recordings of 3 to 9 s that wait in the queue, on services of
//! its own; and as many callers as that worker has run the model alone on segments of the same lengths. Both on the cores of this
//! machine, which the fleet shares with its services. Prints audio seconds per second, the ratio of each round, and the
//! processor time of each part per job.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use speech::framing::SAMPLE_RATE;
use speech::model::{ModelCard, Session};
use speech::runtime::Runtime;
use sqlx::Row;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tests::ledger::{Entry, Ledger};
use tests::processor_time::own_time;
use tests::ready;
use tests::rig::Rig;
use tests::speech as voices;
use worker::concurrency::Plan;

/// Lengths of the recordings, seconds.
const LENGTHS: [&str; 7] = ["3", "4", "5", "6", "7", "8", "9"];
/// The same, to measure all but the model.
const SHORT: [&str; 1] = ["0.5"];

/// The fleet against the bare model, in turns on this machine.
///
/// The default model does about 32 jobs a second on two cores. emotion2vec+ large takes 0.2 to 0.7 s of both cores for a job:
/// `--model DIR 40 2`. `models/emotion2vec/random_models.sh` writes models to measure with.
#[derive(Parser)]
#[command(name = "throughput")]
struct Options {
    /// Folder of model.onnx and model.json, of any precision, instead of the default model's
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// In this order: `overhead`, which takes recordings of half a second and a model of next to no time, so that the fleet's own
    /// work is left, and then the same with one job at a time; JOBS (300); ROUNDS (3). Settings of the worker
    /// like `EMOFLEET__WORKER__SLOTS=12` stand anywhere
    #[arg(value_name = "overhead | JOBS | ROUNDS | NAME=VALUE")]
    words: Vec<Word>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone)]
enum Word {
    Overhead,
    Count(usize),
    Setting(String, String),
}

impl FromStr for Word {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "overhead" {
            return Ok(Self::Overhead);
        }
        if let Some((name, value)) = word.split_once('=') {
            let ours = name.starts_with("EMOFLEET__");
            return ours
                .then(|| Self::Setting(name.into(), value.into()))
                .ok_or_else(|| "settings begin with EMOFLEET__".into());
        }
        match word.parse() {
            Ok(count) if count > 0 => Ok(Self::Count(count)),
            _ => {
                Err("neither `overhead`, nor a number from 1 on, nor a setting like EMOFLEET__WORKER__SLOTS=12".into())
            }
        }
    }
}

/// Its name among the parts of the fleet.
const WORKER: &str = "worker";

/// What is measured.
struct Work {
    model: PathBuf,
    lengths: &'static [&'static str],
    jobs: usize,
    rounds: usize,
    /// Further settings of the worker.
    more: Vec<(String, String)>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (mut counts, mut more, mut overhead) = (Vec::new(), Vec::new(), false);
    for word in options.words {
        match word {
            Word::Overhead => overhead = true,
            Word::Count(count) => counts.push(count),
            Word::Setting(name, value) => more.push((name, value)),
        }
    }
    ensure!(counts.len() <= 2, "there are two numbers, JOBS and ROUNDS: see --help");
    let in_project = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let (usual, lengths): (_, &[_]) =
        if overhead { ("worker/tests/models/fp32", &SHORT) } else { ("models/default", &LENGTHS) };
    let model = options.model.unwrap_or_else(|| in_project(usual));
    let model = model.canonicalize().with_context(|| format!("no folder {}", model.display()))?;
    let (jobs, rounds) = (counts.first().copied().unwrap_or(300), counts.get(1).copied().unwrap_or(3));
    let mut work = Work { model, lengths, jobs, rounds, more };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(compare(&work))?;
    if overhead {
        work.more.push(("EMOFLEET__WORKER__SLOTS".into(), "1".into()));
        println!("one job at a time:");
        runtime.block_on(compare(&work))?;
    }
    Ok(())
}

async fn compare(work: &Work) -> Result<()> {
    let (jobs, card) = (work.jobs, ModelCard::read(&work.model)?);
    let mut rig = Rig::bring_up().await?;
    rig.direct.model.dir = work.model.clone();
    rig.direct.model.name = card.name;
    if let Ok(library) = std::env::var("EMOFLEET__RUNTIME__ONNXRUNTIME") {
        rig.direct.runtime.onnxruntime = library.into();
    }
    let settings = rig.direct.clone();
    let plan = Plan::of(&settings);
    println!("{}: {plan:?}", settings.model.name);
    let sounds = work.lengths.iter().map(|seconds| voices::encoded("a.wav", &["-ar", "16000", "-t", seconds]));
    let sounds = sounds.collect::<Result<Vec<_>>>()?;
    let entries: Vec<_> = (0..jobs).map(|i| Entry { bytes: sounds[i % sounds.len()].clone(), code: None }).collect();
    let runtime = Runtime::load(&settings.runtime)?;
    let (session, _) = Session::load(&runtime, &settings.model.dir, &settings.model)?;

    // With nothing to do: what the start takes is not the jobs'.
    let ready = ready::start(&mut rig, &work.more).await?;
    let start = worker_time(&rig)?;
    rig.kill_worker(0)?;
    println!(
        "a worker is ready after {:.2} s, with {:.2} s of processor time",
        ready.as_secs_f64(),
        start.as_secs_f64()
    );

    let mut ratios = Vec::new();
    for round in 0..work.rounds {
        let name = format!("round-{round}");
        let ledger = Ledger::hand_in(&rig, &name, &entries).await?;
        let mut idle = rig.processor_time()?;
        idle.iter_mut().filter(|(part, _)| *part == WORKER).for_each(|(_, time)| *time += start);
        ready::start(&mut rig, &work.more).await?;
        ledger.until(&rig, jobs).await?;
        let parts = rig.processor_time()?.into_iter().zip(idle);
        let parts: Vec<_> =
            parts.map(|((name, after), (_, before))| per_job(name, after.saturating_sub(before), jobs)).collect();
        rig.kill_worker(0)?;
        let audit = ledger.audit(&rig).await?;
        ensure!(audit.lost == 0 && audit.duplicated == 0, "{audit:?}");
        let (fleet_s, lengths) = measured(&rig, &name).await?;
        let audio_s: f64 = lengths.iter().sum();
        let before = own_time()?;
        let bare_s = tokio::task::block_in_place(|| bare(&session, &lengths, plan.model.callers))?;
        let alone = per_job("bare model", own_time()?.saturating_sub(before), jobs);
        println!(
            "{name}: {jobs} jobs, {audio_s:.0} s of speech; fleet {:.1} audio s/s ({:.1} jobs/s), bare model {:.1} audio s/s, ratio {:.2}; processor time a job: {}, {alone}; median times: {}",
            audio_s / fleet_s,
            jobs as f64 / fleet_s,
            audio_s / bare_s,
            bare_s / fleet_s,
            parts.join(", "),
            stages(&rig, &name).await?,
        );
        ratios.push(bare_s / fleet_s);
    }
    println!("median ratio {:.2}", median(&mut ratios).context("at least one round")?);
    Ok(())
}

/// Of an even number, the mean of the two in the middle.
fn median(ratios: &mut [f64]) -> Option<f64> {
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (ratios.get(ratios.len().saturating_sub(1) / 2)?, ratios.get(ratios.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// Of the worker, so far.
fn worker_time(rig: &Rig) -> Result<Duration> {
    let part = rig.processor_time()?.into_iter().find(|(part, _)| *part == WORKER);
    Ok(part.context("a worker runs")?.1)
}

/// The time of a part of the fleet, spread over the jobs.
fn per_job(part: &str, time: Duration, jobs: usize) -> String {
    format!("{part} {:.1} ms", time.as_secs_f64() * 1e3 / jobs as f64)
}

/// The median of each time in the rows, but the queue's.
async fn stages(rig: &Rig, batch: &str) -> Result<String> {
    const MEDIANS: &str = "SELECT key, percentile_cont(0.5) WITHIN GROUP (ORDER BY value::float8) AS ms
        FROM analyses a JOIN batches b ON b.id = a.batch_id, jsonb_each_text(a.timings)
        WHERE b.name = $1 AND key <> 'queued_ms' GROUP BY key ORDER BY key";
    let medians: Vec<(String, f64)> = sqlx::query_as(MEDIANS).bind(batch).fetch_all(rig.database.pool()).await?;
    Ok(medians.iter().map(|(stage, ms)| format!("{stage} {ms:.1}")).collect::<Vec<_>>().join(", "))
}

/// Seconds from the first job that began to the last that was done, and the lengths of all segments in seconds.
async fn measured(rig: &Rig, batch: &str) -> Result<(f64, Vec<f64>)> {
    const SPAN: &str = "SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 AS seconds
        FROM analyses a JOIN batches b ON b.id = a.batch_id WHERE b.name = $1";
    const SEGMENTS: &str = "SELECT (s.end_s - s.start_s)::float8 AS seconds FROM segments s
        JOIN analyses a USING (job_id) JOIN batches b ON b.id = a.batch_id WHERE b.name = $1 ORDER BY a.finished_at";
    let span = sqlx::query(SPAN).bind(batch).fetch_one(rig.database.pool()).await?.try_get("seconds")?;
    let segments = sqlx::query(SEGMENTS).bind(batch).fetch_all(rig.database.pool()).await?;
    Ok((span, segments.iter().map(|row| row.try_get("seconds")).collect::<Result<_, _>>()?))
}

/// Seconds that so many callers take for segments of these lengths, one at a time each.
fn bare(session: &Session, lengths: &[f64], callers: usize) -> Result<f64> {
    let tone: Vec<f32> = (0..30 * SAMPLE_RATE).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
    let next = AtomicUsize::new(0);
    let sessions = (0..callers).map(|_| session.caller()).collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let work = |mut session: Session| {
        while let Some(seconds) = lengths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let samples = ((seconds * f64::from(SAMPLE_RATE)) as usize).clamp(400, tone.len());
            session.run(&[&tone[..samples]], false)?;
        }
        anyhow::Ok(())
    };
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = sessions.into_iter().map(|session| scope.spawn(move || work(session))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    Ok(begun.elapsed().as_secs_f64())
}
