//! How many results a second the worker's transaction writes.

use crate::options::Options;
use adapters::postgres::{Database, NewBatch};
use domain::{BatchId, Emotion};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tests::calls::{Call, token};

/// Several writers at once begin jobs and record them, as workers do, for a while. What they wrote is deleted again.
pub(crate) async fn measure(database: &Database, options: &Options) -> anyhow::Result<()> {
    let timeline: Vec<_> =
        (0..options.segments).map(|i| (5.0, if i % 3 == 0 { Emotion::Angry } else { Emotion::Neutral }, 0.8)).collect();
    let run = uuid::Uuid::new_v4().simple().to_string();
    let call = |n: usize| Call { batch: run.clone(), ..Call::new(&format!("{run}/{n}.wav")) }.with_timeline(&timeline);
    let until = Instant::now() + Duration::from_secs(options.write_seconds);
    let (next, embedding) = (AtomicUsize::new(0), [0.25_f32; 192]);
    let batch = NewBatch { id: BatchId::from_name(&run), name: run.clone(), source: "made up".into() };
    let writer = async || -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::new();
        while Instant::now() < until {
            let call = call(next.fetch_add(1, Ordering::Relaxed));
            let (job, report, artifacts) = (call.job(), call.report(), call.artifacts());
            database.register(&batch, std::slice::from_ref(&job), false).await?;
            database.begin_attempt(&job, "w").await?;
            let began = Instant::now();
            database
                .record_done(&report, &artifacts, Some(&embedding), &[], "w", token(database, report.job_id).await)
                .await?;
            times.push(began.elapsed());
        }
        Ok(times)
    };
    let began = Instant::now();
    let times = futures_util::future::try_join_all((0..options.writers).map(|_| writer())).await?;
    let seconds = began.elapsed().as_secs_f64();
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort_unstable();
    let at = |q: f64| times[(times.len() as f64 * q) as usize].as_secs_f64() * 1000.0;
    println!(
        "{} writers: {:.0} jobs/s ({:.0} segments/s) registered, begun and recorded; record_done p50 {:.1} ms, p95 {:.1} ms",
        options.writers,
        times.len() as f64 / seconds,
        times.len() as f64 * f64::from(options.segments) / seconds,
        at(0.5),
        at(0.95)
    );
    sqlx::query("DELETE FROM recordings WHERE key LIKE $1 || '/%'").bind(&run).execute(database.pool()).await?;
    sqlx::query("DELETE FROM batches WHERE name = $1").bind(&run).execute(database.pool()).await?;
    Ok(())
}
