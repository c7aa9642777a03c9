//! The fleet against the bare model: `cargo bench -p emofleet-tests --bench throughput [-- JOBS [ROUNDS]]`.
//!
//! In turns, one worker process with default settings scores recordings of 3 to 9 s that wait in the queue, on services of
//! its own; and as many callers as that worker has run the model alone on segments of the same lengths. Both on the cores of this
//! machine, which the fleet shares with its services. Prints audio seconds per second, the ratio of each round, and the
//! processor time of each part per job.
//!
//! With `-- overhead [JOBS [ROUNDS]]`, recordings of half a second and a model that takes next to no time: what is left is the
//! fleet's own work. Then the same with one job at a time: its rate is the time that a job takes on its way.
//!
//! Further arguments like `EMOFLEET__WORKER__SLOTS=12` are settings of the worker.

use anyhow::{Context, Result};
use speech::framing::SAMPLE_RATE;
use speech::model::Session;
use speech::runtime::Runtime;
use sqlx::Row;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tests::ledger::{Entry, Ledger};
use tests::rig::Rig;
use tests::speech as voices;
use worker::concurrency::Plan;

/// Lengths of the recordings, seconds.
const LENGTHS: [&str; 7] = ["3", "4", "5", "6", "7", "8", "9"];
/// The same, to measure all but the model.
const SHORT: [&str; 1] = ["0.5"];

fn main() -> Result<()> {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let (jobs, rounds) = (numbers.next().unwrap_or(300), numbers.next().unwrap_or(3));
    let mut more: Vec<(String, String)> = std::env::args()
        .filter_map(|argument| argument.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if std::env::args().any(|argument| argument == "overhead") {
        let model = ("../worker/tests/models/fp32", "narrow_fp32");
        runtime.block_on(compare(model, &SHORT, jobs, rounds, &more))?;
        more.push(("EMOFLEET__WORKER__SLOTS".into(), "1".into()));
        println!("one job at a time:");
        return runtime.block_on(compare(model, &SHORT, jobs, rounds, &more));
    }
    runtime.block_on(compare(("../models/default", "emofleet-default"), &LENGTHS, jobs, rounds, &more))
}

/// `more`: further settings of the worker.
async fn compare(
    model: (&str, &str),
    lengths: &[&str],
    jobs: usize,
    rounds: usize,
    more: &[(String, String)],
) -> Result<()> {
    let mut rig = Rig::bring_up().await?;
    rig.direct.model.dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(model.0);
    rig.direct.model.name = model.1.into();
    let settings = rig.direct.clone();
    let plan = Plan::of(&settings);
    println!("{plan:?}");
    let sounds = lengths.iter().map(|seconds| voices::encoded("a.wav", &["-ar", "16000", "-t", seconds]));
    let sounds = sounds.collect::<Result<Vec<_>>>()?;
    let entries: Vec<_> = (0..jobs).map(|i| Entry { bytes: sounds[i % sounds.len()].clone(), code: None }).collect();
    let runtime = Runtime::load(&settings.runtime)?;
    let (session, _) = Session::load(&runtime, &settings.model.dir, &settings.model)?;

    let mut ratios = Vec::new();
    for round in 0..rounds {
        let name = format!("round-{round}");
        let ledger = Ledger::hand_in(&rig, &name, &entries).await?;
        let idle = rig.processor_time()?;
        start(&mut rig, more)?;
        ledger.until(&rig, jobs).await?;
        let parts = rig.processor_time()?.into_iter().zip(idle);
        let parts: Vec<_> =
            parts.map(|((name, after), (_, before))| per_job(name, after.saturating_sub(before), jobs)).collect();
        rig.kill_worker(0)?;
        let audit = ledger.audit(&rig).await?;
        anyhow::ensure!(audit.lost == 0 && audit.duplicated == 0, "{audit:?}");
        let (fleet_s, lengths) = measured(&rig, &name).await?;
        let audio_s: f64 = lengths.iter().sum();
        let bare_s = tokio::task::block_in_place(|| bare(&session, &lengths, plan.model.callers))?;
        println!(
            "{name}: {jobs} jobs, {audio_s:.0} s of speech; fleet {:.1} audio s/s ({:.1} jobs/s), bare model {:.1} audio s/s, ratio {:.2}; processor time a job: {}; median times: {}",
            audio_s / fleet_s,
            jobs as f64 / fleet_s,
            audio_s / bare_s,
            bare_s / fleet_s,
            parts.join(", "),
            stages(&rig, &name).await?,
        );
        ratios.push(bare_s / fleet_s);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios.get(ratios.len() / 2).context("at least one round")?);
    Ok(())
}

/// A worker that reaches the services without the rig's proxies.
fn start(rig: &mut Rig, more: &[(String, String)]) -> Result<()> {
    let (dir, name) = (rig.direct.model.dir.display().to_string(), rig.direct.model.name.clone());
    let mut variables = rig.without_proxies().to_vec();
    variables.extend([("EMOFLEET__MODEL__DIR", dir), ("EMOFLEET__MODEL__NAME", name)]);
    variables.extend(more.iter().map(|(name, value)| (name.as_str(), value.clone())));
    rig.start_worker_with(&variables.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}

/// The worker's time includes that of its start.
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
