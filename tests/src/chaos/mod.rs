//! Random faults from a seed: kills, cuts, refusals, deletions, repetitions and strangers' messages at the same time, and an
//! audit of everything at the end.
//!
//! The seed gives the plan ([`plan`]): which events, with which parameters, when. What they meet depends on the machine, so that
//! the same seed may find a fault in one run and not in the next. [`calls`] are the recordings, [`diary`] what was asked of each,
//! [`stage`] the fleet, [`perform`] makes events happen, [`finish`] brings the fleet to rest, [`audit`] compares.

pub mod audit;
pub mod calls;
pub mod diary;
pub mod event;
pub mod finish;
pub mod perform;
pub mod plan;
pub mod stage;

use anyhow::Result;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

use audit::Found;
use plan::{Planned, Size};
use stage::{Stage, WORKERS};
use std::sync::Arc;

/// Longest that events may take after the last one began.
const LONGEST_EVENT: Duration = Duration::from_secs(400);

/// Runs the plan of a seed, prints what happens, and returns what is wrong at the end.
///
/// # Errors
/// When services can't be started, or the fleet does not come to rest. The message begins with the seed.
pub async fn run(seed: u64, size: Size) -> Result<Vec<String>> {
    println!("seed {seed}: {size:?}");
    let stage = Arc::new(Stage::set(size.jobs, size.chunk).await?);
    let ended = happen(&stage, seed, size).await;
    let problems = stage.diary().problems.clone();
    if !problems.is_empty() || ended.is_err() {
        println!("seed {seed}, {size:?}: {} problems", problems.len());
        for problem in &problems {
            println!("  {problem}");
        }
        stage.keep_logs(seed);
    }
    ended.map(|()| problems).map_err(|error| error.context(format!("seed {seed}, {size:?}")))
}

async fn happen(stage: &Arc<Stage>, seed: u64, size: Size) -> Result<()> {
    for _ in 0..WORKERS {
        stage.employ("worker").await?;
    }
    stage.employ("dispatcher").await?;
    play(stage, plan::draw(seed, size), seed).await?;
    println!("{:7.1} s  all events are over", stage.begun.elapsed().as_secs_f64());
    let repaired = stage.finish().await?;
    println!("{:7.1} s  at rest", stage.begun.elapsed().as_secs_f64());
    let found = stage.audit().await?;
    report(stage, seed, size, &found, &repaired);
    Ok(())
}

/// Each event at its time, whether earlier ones are over or not.
async fn play(stage: &Arc<Stage>, plan: Vec<Planned>, seed: u64) -> Result<()> {
    let (begun, mut events) = (Instant::now(), JoinSet::new());
    for planned in plan {
        while begun.elapsed() < planned.at {
            sleep(Duration::from_millis(200).min(planned.at.saturating_sub(begun.elapsed()))).await;
            for ended in stage.supervise().await? {
                println!("{:7.1} s  ended by itself, started again: {ended}", stage.begun.elapsed().as_secs_f64());
            }
        }
        let stage = stage.clone();
        events.spawn(async move { happened(&stage, &planned, seed).await });
    }
    let all = async { while events.join_next().await.is_some() {} };
    if tokio::time::timeout(LONGEST_EVENT, all).await.is_err() {
        stage.problem(format!("events are not over {LONGEST_EVENT:?} after the last one began"));
    }
    Ok(())
}

async fn happened(stage: &Stage, planned: &Planned, seed: u64) {
    let Planned { index, event, .. } = planned;
    let (kind, begun) = (event.kind(), Instant::now());
    println!("{:7.1} s  {seed}#{index} {kind}: {event:?}", stage.begun.elapsed().as_secs_f64());
    let outcome = stage.perform(event).await;
    let took = begun.elapsed();
    let (now, took_s) = (stage.begun.elapsed().as_secs_f64(), took.as_secs_f64());
    match outcome {
        Ok(said) => println!("{now:7.1} s  {seed}#{index} over after {took_s:.1} s {said}"),
        // The event itself may meet another one.
        Err(error) => println!("{now:7.1} s  {seed}#{index} did not work, after {took_s:.1} s: {error:#}"),
    }
    let mut diary = stage.diary();
    let (count, time) = diary.events.entry(kind).or_default();
    (*count, *time) = (*count + 1, *time + took);
}

fn report(stage: &Stage, seed: u64, size: Size, found: &Found, repaired: &BTreeMap<String, usize>) {
    let diary = stage.diary();
    println!("\n| event | times | seconds in all |\n|---|---|---|");
    for (kind, (count, time)) in &diary.events {
        println!("| {kind} | {count} | {:.0} |", time.as_secs_f64());
    }
    println!("\n| command | exit code | times |\n|---|---|---|");
    for ((command, code), count) in &diary.commands {
        println!("| {command} | {code} | {count} |");
    }
    let events: u64 = diary.events.values().map(|(count, _)| count).sum();
    println!("\nseed {seed}: {} jobs, {events} events in {:.0} s", size.jobs, stage.begun.elapsed().as_secs_f64());
    println!("{found:#?}");
    println!("asked for again at the end, by failure code: {repaired:?}");
    println!("problems: {}", diary.problems.len());
}
