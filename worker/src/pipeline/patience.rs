//! Waiting out a database that is away for a moment: dropping a finished analysis for a restart
//! of Postgres would waste the work.

use domain::{Failure, FailureCode};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Calls `operation` until it succeeds, fails for another reason than an unreachable database,
/// `patience` is over or `cancel` fires.
///
/// # Errors
/// The operation's last failure.
pub(super) async fn patiently<T, F>(
    patience: Duration,
    cancel: &CancellationToken,
    mut operation: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let begun = Instant::now();
    let mut backoff = adapters::amqp::Backoff::new(Duration::from_secs(5));
    loop {
        match operation().await {
            Err(failure) if failure.code == FailureCode::DatabaseUnreachable && begun.elapsed() < patience => {
                let pause = backoff.pause();
                tracing::warn!(%failure, pause_ms = pause.as_millis() as u64, "waiting for the database");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = cancel.cancelled() => return Err(failure),
                }
            }
            settled => return settled,
        }
    }
}
