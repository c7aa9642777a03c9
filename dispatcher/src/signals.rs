//! SIGTERM and Ctrl-C: the first shuts down in order, the second at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// By convention, 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// A token that the first signal cancels.
pub(crate) fn stop() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("shutting down: finishing the requests in progress");
                cancelled.cancel();
            } else {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(stop)
}
