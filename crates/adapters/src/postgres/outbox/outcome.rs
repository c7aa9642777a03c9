//! Recording the outcome of a request.

use domain::Failure;
use domain::alert::DeliveryOutcome;
use sqlx::PgConnection;
use std::time::Duration;

use super::Claim;
use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, text};

/// When messages that were not delivered are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The pause before: of the destination, or of the messages alone if they were refused.
    pub pause: Duration,
    /// Failed attempts after which a message is given up.
    pub max_attempts: u32,
}

impl Database {
    /// Records the outcome of a claim. Returns how many messages were given up. Can be repeated.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`: the messages are sent again when the claim expires.
    #[boxed]
    pub async fn record_outcome(&self, claim: &Claim, outcome: &DeliveryOutcome, retry: Retry) -> Result<u64, Failure> {
        let record = || async {
            let mut transaction = self.begin().await?;
            // The destination's row first, as claiming does.
            update_destination(&mut transaction, claim, outcome, retry.pause).await?;
            let given_up = update_messages(&mut transaction, claim, outcome, retry).await?;
            transaction.commit().await?;
            Ok(given_up)
        };
        repeated(record).await
    }
}

async fn update_destination(
    connection: &mut PgConnection,
    claim: &Claim,
    outcome: &DeliveryOutcome,
    pause: Duration,
) -> Result<(), sqlx::Error> {
    const DELIVERED: &str = "UPDATE destinations SET failures = 0, blocked_until = NULL, last_error = NULL,
        last_delivered_at = clock_timestamp() WHERE name = $1";
    const NOT_DELIVERED: &str = "UPDATE destinations SET failures = failures + $2, last_error = $3,
        blocked_until = CASE WHEN $4 > 0 THEN greatest(blocked_until, clock_timestamp() + make_interval(secs => $4))
                             ELSE blocked_until END
        WHERE name = $1";
    const ENDED: &str = "UPDATE destination_sends SET ended_at = clock_timestamp() WHERE id = $1";
    let not_delivered = |failures: i32, reason: &str, pause: Duration| {
        let query = sqlx::query(NOT_DELIVERED).bind(claim.destination.clone()).bind(failures);
        query.bind(text::clean(reason, 500)).bind(pause.as_secs_f64())
    };
    let query = match outcome {
        DeliveryOutcome::Delivered => sqlx::query(DELIVERED).bind(claim.destination.clone()),
        DeliveryOutcome::Busy { reason, .. } => not_delivered(0, reason, pause),
        DeliveryOutcome::Failed { reason, .. } => not_delivered(1, reason, pause),
        DeliveryOutcome::Refused { reason } => not_delivered(0, reason, Duration::ZERO),
    };
    query.execute(&mut *connection).await?;
    if let Some(send_id) = claim.send_id {
        sqlx::query(ENDED).bind(send_id).execute(connection).await?;
    }
    Ok(())
}

async fn update_messages(
    connection: &mut PgConnection,
    claim: &Claim,
    outcome: &DeliveryOutcome,
    retry: Retry,
) -> Result<u64, sqlx::Error> {
    // Also when another dispatcher has the claim by now: they were delivered.
    const DELIVERED: &str =
        "UPDATE outbox SET delivered_at = clock_timestamp(), claimed_by = NULL, claimed_until = NULL,
        last_error = NULL, given_up_at = NULL WHERE id = ANY($1) AND delivered_at IS NULL";
    const NOT_DELIVERED: &str = include_str!("record_failure.sql");
    let ids: Vec<i64> = claim.messages.iter().map(|message| message.id).collect();
    let (counts, refused, pause, reason) = match outcome {
        DeliveryOutcome::Delivered => {
            return sqlx::query(DELIVERED).bind(ids).execute(connection).await.map(|_| 0);
        }
        DeliveryOutcome::Busy { reason, .. } => (false, false, Duration::ZERO, reason),
        DeliveryOutcome::Failed { reason, .. } => (true, false, Duration::ZERO, reason),
        DeliveryOutcome::Refused { reason } => (true, true, retry.pause, reason),
    };
    let given_up: Vec<bool> = sqlx::query_scalar(NOT_DELIVERED)
        .bind(ids)
        .bind(&claim.owner)
        .bind(text::clean(reason, 500))
        .bind(i32::try_from(retry.max_attempts).unwrap_or(i32::MAX))
        .bind(counts)
        .bind(refused)
        .bind(pause.as_secs_f64())
        .fetch_all(connection)
        .await?;
    Ok(given_up.into_iter().filter(|given_up| *given_up).count() as u64)
}
