//! Waits for the end of a batch, by polling its progress in the database.

pub(crate) mod elsewhere;
mod open_jobs;
mod report;
pub(crate) mod unserved;

pub(crate) use report::{report, run};

use adapters::boxed;
use adapters::postgres::{Database, Progress};
use adapters::retry::{RetryPolicy, retry_while};
use domain::BatchId;
use settings::Settings;
use std::time::{Duration, Instant};

use crate::error::{Outcome, ProducerError};
use crate::follow::unserved::Lookout;
use crate::meter::{Meter, clock};
use crate::services::POSTGRES;

/// Pause between polls: only the database knows of all workers.
pub(crate) const ASK_EVERY: Duration = Duration::from_secs(1);
/// Smoothing of the rate: the weight of the newest second.
const SMOOTHING: f64 = 0.15;

/// How a wait ended.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    /// The latest progress of the batch.
    pub progress: Progress,
    /// Whether the time ran out before the batch ended.
    pub timed_out: bool,
    /// Time waited.
    pub took: Duration,
}

impl Followed {
    /// How the command ends.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self { timed_out: true, .. } => Outcome::TimedOut,
            Self { progress, .. } if progress.failed + progress.repeats_failed > 0 => Outcome::SomeFailed,
            Self { .. } => Outcome::Done,
        }
    }
}

/// Waits until every job of the batch is done or failed, or `timeout` has passed. Jobs for a model without a worker are
/// told of.
///
/// # Errors
/// [`ProducerError::Service`] when the database refuses, or is unreachable longer than the policy allows.
#[boxed]
pub async fn follow(
    settings: &Settings,
    database: &Database,
    batch: BatchId,
    timeout: Option<Duration>,
    policy: RetryPolicy,
    meter: &Meter,
) -> Result<Followed, ProducerError> {
    let begun = Instant::now();
    let (mut pace, mut lookout) = (Pace::default(), Lookout::new(settings));
    loop {
        let ask = || database.batch_progress(&batch);
        let progress = retry_while(policy, POSTGRES, ask).await?;
        let timed_out = timeout.is_some_and(|t| begun.elapsed() >= t);
        if progress.is_complete() || timed_out {
            meter.clear();
            return Ok(Followed { progress, timed_out: !progress.is_complete(), took: begun.elapsed() });
        }
        pace.note(progress.ended());
        meter.at(progress.ended(), Some(progress.total), &line(&progress, pace.rate));
        lookout.look(progress.ended(), async || database.open_jobs_of(&batch).await, meter).await;
        let left = timeout.map_or(ASK_EVERY, |t| t.saturating_sub(begun.elapsed()));
        tokio::time::sleep(ASK_EVERY.min(left)).await;
    }
}

/// Progress in one line.
pub(crate) fn line(progress: &Progress, rate: f64) -> String {
    let Progress { done, failed, retrying, running, queued, total, .. } = progress;
    let mut parts = vec![format!("done {done}  failed {failed}")];
    for (name, count) in [("retrying", retrying), ("running", running), ("queued", queued)] {
        if *count > 0 {
            parts.push(format!("{name} {count}"));
        }
    }
    if progress.repeats_failed > 0 {
        parts.push(format!("repetitions failed {}", progress.repeats_failed));
    }
    if rate > 0.0 {
        let left = (total - progress.ended()) as f64 / rate;
        parts.push(format!("{rate:.1}/s  {} left", clock(left)));
    }
    parts.join("  ")
}

/// Jobs ended a second, smoothed.
#[derive(Debug, Default)]
struct Pace {
    last: Option<(Instant, u64)>,
    rate: f64,
}

impl Pace {
    fn note(&mut self, ended: u64) {
        let now = Instant::now();
        if let Some((at, before)) = self.last {
            let seconds = now.duration_since(at).as_secs_f64().max(0.001);
            let newest = ended.saturating_sub(before) as f64 / seconds;
            self.rate = if self.rate == 0.0 { newest } else { self.rate + SMOOTHING * (newest - self.rate) };
        }
        self.last = Some((now, ended));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_or_the_clock_decides_how_a_wait_ends() {
        let ended = |failed, timed_out| {
            let progress = Progress { total: 3, done: 3 - failed, failed, ..Progress::default() };
            Followed { progress, timed_out, took: Duration::ZERO }.outcome()
        };
        assert_eq!(ended(0, false), Outcome::Done);
        assert_eq!(ended(1, false), Outcome::SomeFailed);
        assert_eq!(ended(1, true), Outcome::TimedOut);
    }

    #[test]
    fn the_line_leaves_out_what_is_nothing() {
        let progress = Progress { total: 100, queued: 40, done: 59, failed: 1, ..Progress::default() };
        assert_eq!(line(&progress, 2.0), "done 59  failed 1  queued 40  2.0/s  0:20 left");
        assert_eq!(line(&progress, 0.0), "done 59  failed 1  queued 40");
    }
}
