//! `worker model check`: verifies that the fleet can run a model, and measures its speed and memory.

use settings::Settings;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use speech::framing::SAMPLE_RATE;
use speech::model::Session;
use speech::runtime::Runtime;

/// Lengths that are timed, seconds of audio.
const LENGTHS: [usize; 3] = [3, 10, 30];
/// Runs per length; the median counts.
const RUNS: usize = 5;

pub(super) fn run(settings: &Settings, dir: &Path) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::load(&settings.runtime)?;
    let before = resident_mib();
    let (mut session, loaded) = Session::load(&runtime, dir, &settings.model)?;
    let card = &loaded.card;
    println!("model        {} {}", card.name, card.version);
    println!("licence      {}", card.licence);
    println!("labels       {} (in the fleet's order)", card.labels.join(" "));
    if !card.cannot_predict.is_empty() {
        println!("unpredicted  {}", card.cannot_predict.join(" "));
    }
    for (emotion, point) in &card.alerts {
        let (score, row) = (point.threshold, point.in_a_row);
        println!("alerts       {emotion}: from {score} in {row} consecutive segments, followed by the built-in rule");
    }
    println!("sha256       {} (verified)", card.sha256);
    println!("parameters   {}", card.parameters.map_or("unknown".into(), parameters));
    if let Some(bits) = card.weight_bits {
        println!("weights      {bits} bits");
    }
    if !card.operators.is_empty() {
        let needed: Vec<&str> = card.operators.iter().map(|instructions| instructions.label()).collect();
        println!("operators    the fleet's own, for processors with {}", needed.join(" and "));
    }
    println!("embedding    {} numbers; {} frames a second", card.embedding_dim, card.frame_rate);
    println!("loaded in    {:.2} s; warm-up passed", loaded.load_s);
    let change = loaded.batch_difference;
    let precision = card.precision.label();
    if card.precision.allows_batches() {
        println!("batches      {precision}: a segment's scores change by {change:.1e} with the batch it is in");
    } else {
        println!(
            "batches      {precision}: segments run one at a time, since a batch would change their scores (here by {change:.1e})"
        );
    }
    for seconds in LENGTHS {
        let took = median_run(&mut session, seconds)?;
        println!(
            "{seconds:2} s of audio {:7.1} ms, {:6.2} ms per second of audio, {:.0} times real time",
            took * 1e3,
            took * 1e3 / seconds as f64,
            seconds as f64 / took
        );
    }
    println!("memory       {:.0} MiB more than before loading", resident_mib() - before);
    println!("The fleet can run this model.");
    Ok(ExitCode::SUCCESS)
}

fn parameters(n: u64) -> String {
    if n < 1_000_000 { n.to_string() } else { format!("{:.1} million", n as f64 / 1e6) }
}

fn median_run(session: &mut Session, seconds: usize) -> anyhow::Result<f64> {
    let audio: Vec<f32> = (0..seconds * SAMPLE_RATE as usize).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let begun = Instant::now();
        session.run(&[&audio], false)?;
        times.push(begun.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

/// Resident memory of this process, MiB; 0 where /proc does not say.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
