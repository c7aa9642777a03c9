//! The task of one destination: claims messages, sends them, records the outcome, waits. Destinations
//! do not wait for each other.

use adapters::postgres::{Claim, ClaimOutcome, ClaimRequest, Database, Retry};
use adapters::retry::Backoff;
use domain::Failure;
use domain::alert::DeliveryOutcome;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::metrics::Metrics;
use super::transport::Transport;

/// Time beyond a request's own limit until its claim expires.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// Longest wait for the rate limit with `--once`: that of a second.
const MAX_WAIT_ONCE: Duration = Duration::from_millis(1500);
/// Pause after a failed statement.
const DATABASE_PAUSE: Duration = Duration::from_secs(3);
/// Pause after the first failure of a destination; later ones double.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Delivers the messages of one destination.
pub(super) struct DeliveryTask<T> {
    pub(super) database: Database,
    pub(super) transport: T,
    /// Unique name of this dispatcher.
    pub(super) owner: String,
    /// Longest time between two claims.
    pub(super) poll: Duration,
    pub(super) metrics: Arc<Metrics>,
}

/// What one step of a task did.
enum Step {
    /// It handled a claim; there may be more.
    Handled,
    /// There is nothing to send, for this long unless a message comes.
    Idle { retry_in: Option<Duration> },
}

impl<T: Transport> DeliveryTask<T> {
    /// Delivers messages until `stop`; a request in progress is finished and its outcome recorded.
    pub(super) async fn run(self, mut wake: watch::Receiver<()>, stop: CancellationToken) {
        let destination = self.transport.destination();
        tracing::info!(destination, "delivering");
        while !stop.is_cancelled() {
            // Before the claim: a notification during it wakes the task afterwards.
            wake.borrow_and_update();
            let pause = match self.step().await {
                Ok(Step::Handled) => continue,
                Ok(Step::Idle { retry_in }) => retry_in.map_or(self.poll, |retry_in| retry_in.min(self.poll)),
                Err(failure) => {
                    tracing::warn!(destination, %failure, "the outbox can't be read; retrying");
                    DATABASE_PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = wake.changed() => if changed.is_err() { tokio::time::sleep(pause).await },
                () = stop.cancelled() => {}
            }
        }
    }

    /// Delivers what may be sent now.
    pub(super) async fn once(&self) -> Result<(), Failure> {
        loop {
            match self.step().await? {
                Step::Handled => {}
                Step::Idle { retry_in: Some(wait) } if wait <= MAX_WAIT_ONCE => tokio::time::sleep(wait).await,
                Step::Idle { .. } => return Ok(()),
            }
        }
    }

    /// Handles one claim, if there is something to send.
    async fn step(&self) -> Result<Step, Failure> {
        let limits = self.transport.limits();
        let request = ClaimRequest {
            destination: self.transport.destination(),
            rate_limit: limits.rate_limit,
            max_messages: limits.max_messages,
            lease: limits.timeout + LEASE_MARGIN,
            owner: &self.owner,
        };
        let mut claim = match self.database.claim_messages(&request).await? {
            ClaimOutcome::Nothing { retry_in } => return Ok(Step::Idle { retry_in }),
            ClaimOutcome::Claimed(claim) => claim,
        };
        let expires = Instant::now() + request.lease;
        let (batch, count) = self.transport.batch(&claim.messages);
        self.release(&mut claim, count).await;
        let id = request_id(&claim);
        let span = tracing::info_span!("delivery", destination = request.destination, request = %id);
        self.deliver(claim, &batch, id, expires).instrument(span).await;
        Ok(Step::Handled)
    }

    /// Sends a batch and records the outcome, until the claim expires.
    async fn deliver(&self, mut claim: Claim, batch: &T::Batch, id: Uuid, expires: Instant) {
        let (outcome, tried) = self.transport.send(batch, id).await;
        self.release(&mut claim, tried).await;
        let retry = self.retry(&claim, &outcome);
        let messages = claim.messages.len();
        self.metrics.request_ended(&claim.destination, messages, &outcome);
        match outcome.reason() {
            None => tracing::info!(messages, "delivered"),
            Some(reason) => tracing::warn!(messages, pause = ?retry.pause, reason, "{}", outcome.label()),
        }
        self.record(&claim, &outcome, retry, expires).await;
    }

    /// Releases all but the first `kept` messages of a claim.
    async fn release(&self, claim: &mut Claim, kept: usize) {
        if let Err(failure) = self.database.release_messages(claim, kept).await {
            tracing::warn!(%failure, "messages that were not sent can't be released; they wait until the claim expires");
        }
    }

    /// The pause before the next attempt.
    fn retry(&self, claim: &Claim, outcome: &DeliveryOutcome) -> Retry {
        let limits = self.transport.limits();
        let pause = match outcome {
            DeliveryOutcome::Delivered => Duration::ZERO,
            DeliveryOutcome::Busy { retry_after, .. } => *retry_after,
            DeliveryOutcome::Failed { retry_after, .. } => {
                Backoff::nth_pause(FIRST_PAUSE, limits.max_pause, claim.failures).max(retry_after.unwrap_or_default())
            }
            DeliveryOutcome::Refused { .. } => match &claim.messages[..] {
                [message] => Backoff::nth_pause(FIRST_PAUSE, limits.max_pause, message.attempts.saturating_sub(1)),
                // Out of a digest, each may be accepted by itself: at once.
                _ => Duration::ZERO,
            },
        };
        Retry { pause, max_attempts: limits.max_attempts }
    }

    /// Records the outcome. Retries while the claim holds: a message that was delivered, but is not known to be,
    /// would be sent again.
    async fn record(&self, claim: &Claim, outcome: &DeliveryOutcome, retry: Retry, expires: Instant) {
        loop {
            match self.database.record_outcome(claim, outcome, retry).await {
                Ok(0) => return,
                Ok(given_up) => {
                    self.metrics.given_up(&claim.destination, given_up);
                    tracing::error!(given_up, "messages given up: see `dispatcher status`");
                    return;
                }
                Err(failure) => tracing::warn!(%failure, "the outcome can't be recorded; retrying"),
            }
            if Instant::now() + DATABASE_PAUSE >= expires {
                return;
            }
            tokio::time::sleep(DATABASE_PAUSE).await;
        }
    }
}

/// The same for the same messages, however often they are sent.
fn request_id(claim: &Claim) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x2f7d_91c4_0b3a_4e0e_8a55_61f2_9c7b_d310);
    let ids: Vec<String> = claim.messages.iter().map(|message| message.id.to_string()).collect();
    Uuid::new_v5(&NAMESPACE, ids.join(",").as_bytes())
}
