//! Stopping in stages: no new jobs, finish what is in hand, hand back the rest.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two stages of stopping, as seen by everything that runs.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Fires first: take no new jobs.
    pub taking: CancellationToken,
    /// Fires at the deadline: hand back what is in hand.
    pub working: CancellationToken,
}

impl Stop {
    /// Begins to stop on SIGTERM or SIGINT; a second signal ends the process at once.
    ///
    /// # Errors
    /// When the system refuses the signal handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let taking = stop.taking.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
            };
            next().await;
            tracing::info!("stopping: no new jobs; a second signal ends at once");
            taking.cancel();
            next().await;
            tracing::warn!("ended by a second signal; the broker gives jobs in hand to other workers");
            std::process::exit(130);
        });
        Ok(stop)
    }

    /// Waits until stopping begins, then fires the second stage after `deadline`.
    pub async fn enforce(&self, deadline: Duration) {
        self.taking.cancelled().await;
        tokio::time::sleep(deadline).await;
        tracing::warn!("the drain deadline has passed: handing back the jobs in hand");
        self.working.cancel();
    }
}
