//! SIGTERM and SIGINT (Ctrl-C), for all programs.

use crate::boxed;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a program that a signal ended: by convention, 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The two signals that ask a program to stop.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Handles the signals from now on.
    ///
    /// # Errors
    /// When the system refuses the signal handlers.
    pub fn handle() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    #[boxed]
    pub async fn next(&mut self) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
    }
}

/// A token that the first signal cancels; the second signal ends the process at once. Must be called within a Tokio
/// runtime.
///
/// # Errors
/// When the system refuses the signal handlers.
pub fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let mut signals = StopSignals::handle()?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping: work in flight is finished; a second signal ends the process at once");
        first.cancel();
        signals.next().await;
        tracing::warn!("ended by a second signal");
        std::process::exit(INTERRUPTED.into());
    });
    Ok(stop)
}
