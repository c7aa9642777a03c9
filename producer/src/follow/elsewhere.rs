//! Waits for jobs that an enqueue found already registered in other batches, since `enqueue --wait` promises results for all
//! recordings that it was given.

use adapters::postgres::{Database, Status};
use adapters::retry::{RetryPolicy, retry_while};
use domain::JobId;
use settings::Settings;
use std::time::{Duration, Instant};

use crate::error::{Outcome, ProducerError};
use crate::follow::ASK_EVERY;
use crate::follow::unserved::Lookout;
use crate::meter::Meter;
use crate::services::POSTGRES;

/// How the wait ended, by number of jobs. A job that was deleted meanwhile counts as neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    done: u64,
    failed: u64,
    open: u64,
}

impl Elsewhere {
    /// How the command ends; `None` when these jobs change nothing.
    pub(crate) fn outcome(self) -> Option<Outcome> {
        match self {
            Self { open: 1.., .. } => Some(Outcome::TimedOut),
            Self { failed: 1.., .. } => Some(Outcome::SomeFailed),
            Self { .. } => None,
        }
    }
}

impl std::fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { done, failed, open } = self;
        write!(f, "in other batches: {done} done, {failed} failed")?;
        if *open > 0 { write!(f, "; {open} are still open") } else { Ok(()) }
    }
}

/// Waits until each of these jobs, all for `model`, is done or failed, or `timeout` has passed.
///
/// # Errors
/// [`ProducerError::Service`] when the database refuses, or is unreachable longer than the policy allows.
pub(crate) async fn follow(
    settings: &Settings,
    database: &Database,
    (model, mut jobs): (&str, Vec<JobId>),
    timeout: Option<Duration>,
    policy: RetryPolicy,
    meter: &Meter,
) -> Result<Elsewhere, ProducerError> {
    let (begun, total) = (Instant::now(), jobs.len() as u64);
    let (mut ended, mut lookout) = (Elsewhere::default(), Lookout::new(settings));
    loop {
        // Only the open ones are asked for again: a million rows are not read every second.
        let states = retry_while(policy, POSTGRES, || database.states(&jobs, None)).await?;
        jobs.clear();
        for (job, status) in states {
            match status {
                Status::Done => ended.done += 1,
                Status::Failed => ended.failed += 1,
                Status::Queued | Status::Running | Status::Retrying => jobs.push(job),
            }
        }
        ended.open = jobs.len() as u64;
        if jobs.is_empty() || timeout.is_some_and(|t| begun.elapsed() >= t) {
            meter.clear();
            return Ok(ended);
        }
        let at = total - ended.open;
        meter.at(at, Some(total), &format!("in other batches: done {}  failed {}", ended.done, ended.failed));
        // A job's identity contains its model: these are jobs for the model that the command names.
        lookout.look(at, async || Ok(vec![(model.to_owned(), ended.open)]), meter).await;
        let left = timeout.map_or(ASK_EVERY, |t| t.saturating_sub(begun.elapsed()));
        tokio::time::sleep(ASK_EVERY.min(left)).await;
    }
}
