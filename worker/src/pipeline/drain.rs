//! Stopping in stages: no new jobs, finish the jobs in flight, requeue the rest.

use adapters::shutdown;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The two stages of stopping, as seen by everything that runs.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// First stage: take no new jobs.
    pub taking: CancellationToken,
    /// Second stage, at the deadline: requeue the jobs in flight.
    pub working: CancellationToken,
}

impl Stop {
    /// Starts to stop on SIGTERM or SIGINT; a second signal ends the process at once, and the broker delivers the jobs
    /// in flight to other workers.
    ///
    /// # Errors
    /// When the system refuses the signal handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        Ok(Self { taking: shutdown::stop_on_signals()?, working: CancellationToken::new() })
    }

    /// Waits until stopping begins, then starts the second stage after `deadline`.
    pub async fn enforce(&self, deadline: Duration) {
        self.taking.cancelled().await;
        tokio::time::sleep(deadline).await;
        tracing::warn!("drain deadline passed: requeuing the jobs in flight");
        self.working.cancel();
    }
}
