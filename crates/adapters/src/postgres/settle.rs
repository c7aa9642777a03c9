//! How a request to a destination ended, written down; and how the destinations fare.

use chrono::{DateTime, Utc};
use domain::Failure;
use sqlx::{FromRow, PgConnection};
use std::time::Duration;

use super::{Claim, Database, errors, text};

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It arrived.
    Delivered,
    /// It was too much: nothing is sent there for a while, and the attempt does not count.
    Busy {
        /// How long.
        pause: Duration,
        /// What the service said.
        why: String,
    },
    /// The destination is at fault: nothing is sent there for a while.
    Failed {
        /// How long.
        pause: Duration,
        /// What happened.
        why: String,
    },
    /// The messages are at fault: they are tried again each by itself, others meanwhile.
    Refused {
        /// How long these wait.
        pause: Duration,
        /// What the service said.
        why: String,
    },
}

/// How a destination fares.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Delivery {
    /// Its name.
    pub destination: String,
    /// Messages that wait.
    pub waiting: i64,
    /// Since when the oldest of them waits.
    pub oldest_waiting: Option<DateTime<Utc>>,
    /// Delivered in the last 24 hours.
    pub delivered_today: i64,
    /// Given up.
    pub given_up: i64,
    /// Until when nothing is sent there.
    pub blocked_until: Option<DateTime<Utc>>,
    /// Why the last request failed; `None` once one arrived.
    pub last_error: Option<String>,
}

/// What waits for a destination.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Backlog {
    /// Its name.
    pub destination: String,
    /// How many messages.
    pub messages: i64,
    /// For how long the oldest of them has waited, seconds.
    pub oldest_s: f64,
}

impl Database {
    /// What waits for each destination; those for which nothing waits are left out.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn backlog(&self) -> Result<Vec<Backlog>, Failure> {
        const BACKLOG: &str = "SELECT destination, count(*) AS messages,
                extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_s
            FROM outbox WHERE delivered_at IS NULL AND given_up_at IS NULL GROUP BY destination";
        sqlx::query_as(BACKLOG).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Writes down how a claim ended. Returns how many messages were given up: those that failed
    /// `max_attempts` times. Repeating it does no harm.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`: the messages are sent again when the claim expires.
    pub async fn settle(&self, claim: &Claim, settlement: &Settlement, max_attempts: u32) -> Result<u64, Failure> {
        let settled: Result<u64, sqlx::Error> = async {
            let mut transaction = self.pool().begin().await?;
            // The destination's row first, as claiming does.
            note_destination(&mut transaction, claim, settlement).await?;
            let given_up = note_letters(&mut transaction, claim, settlement, max_attempts).await?;
            transaction.commit().await?;
            Ok(given_up)
        }
        .await;
        settled.map_err(|e| errors::failure(&e))
    }

    /// How each destination fares that was ever owed a message.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn deliveries(&self) -> Result<Vec<Delivery>, Failure> {
        const DELIVERIES: &str =
            "SELECT destination, waiting, oldest_waiting, delivered_today, given_up, blocked_until,
            last_error FROM alert_deliveries ORDER BY destination";
        sqlx::query_as(DELIVERIES).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Tries again what was given up on a destination, and ends its pause. Returns how many messages.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn revive(&self, destination: &str) -> Result<u64, Failure> {
        const REVIVE: &str = "WITH unblocked AS (
                UPDATE destinations SET blocked_until = NULL, failures = 0 WHERE name = $1)
            UPDATE outbox SET given_up_at = NULL, attempts = 0, next_attempt_at = now()
             WHERE destination = $1 AND given_up_at IS NOT NULL";
        let revived = sqlx::query(REVIVE).bind(destination).execute(self.pool()).await;
        let revived = revived.map_err(|e| errors::failure(&e))?.rows_affected();
        let wake = sqlx::query("SELECT pg_notify($1, '')").bind(super::alerts::CHANNEL).execute(self.pool()).await;
        wake.map_err(|e| errors::failure(&e))?;
        Ok(revived)
    }
}

async fn note_destination(
    connection: &mut PgConnection,
    claim: &Claim,
    settlement: &Settlement,
) -> Result<(), sqlx::Error> {
    const WELL: &str = "UPDATE destinations SET failures = 0, blocked_until = NULL, last_error = NULL,
        last_delivered_at = clock_timestamp() WHERE name = $1";
    const ILL: &str = "UPDATE destinations SET failures = failures + $2, last_error = $3,
        blocked_until = CASE WHEN $4 > 0 THEN greatest(blocked_until, clock_timestamp() + make_interval(secs => $4))
                             ELSE blocked_until END
        WHERE name = $1";
    const ENDED: &str = "UPDATE destination_sends SET ended_at = clock_timestamp() WHERE id = $1";
    let ill = |failures: i32, why: &str, pause: Duration| {
        let query = sqlx::query(ILL).bind(claim.destination.clone()).bind(failures);
        query.bind(text::clean(why, 500)).bind(pause.as_secs_f64())
    };
    let query = match settlement {
        Settlement::Delivered => sqlx::query(WELL).bind(claim.destination.clone()),
        Settlement::Busy { pause, why } => ill(0, why, *pause),
        Settlement::Failed { pause, why } => ill(1, why, *pause),
        Settlement::Refused { why, .. } => ill(0, why, Duration::ZERO),
    };
    query.execute(&mut *connection).await?;
    if let Some(send) = claim.send() {
        sqlx::query(ENDED).bind(send).execute(connection).await?;
    }
    Ok(())
}

async fn note_letters(
    connection: &mut PgConnection,
    claim: &Claim,
    settlement: &Settlement,
    max_attempts: u32,
) -> Result<u64, sqlx::Error> {
    // Whoever holds the claim by now: what arrived has arrived.
    const DELIVERED: &str =
        "UPDATE outbox SET delivered_at = clock_timestamp(), claimed_by = NULL, claimed_until = NULL,
        last_error = NULL, given_up_at = NULL WHERE id = ANY($1) AND delivered_at IS NULL";
    const FAIL: &str = include_str!("queries/alerts/fail.sql");
    let ids: Vec<i64> = claim.letters.iter().map(|letter| letter.id).collect();
    let (counts, theirs, pause, why) = match settlement {
        Settlement::Delivered => {
            return sqlx::query(DELIVERED).bind(ids).execute(connection).await.map(|_| 0);
        }
        Settlement::Busy { why, .. } => (false, false, Duration::ZERO, why),
        Settlement::Failed { why, .. } => (true, false, Duration::ZERO, why),
        Settlement::Refused { pause, why } => (true, true, *pause, why),
    };
    let given_up: Vec<bool> = sqlx::query_scalar(FAIL)
        .bind(ids)
        .bind(claim.owner())
        .bind(text::clean(why, 500))
        .bind(i32::try_from(max_attempts).unwrap_or(i32::MAX))
        .bind(counts)
        .bind(theirs)
        .bind(pause.as_secs_f64())
        .fetch_all(connection)
        .await?;
    Ok(given_up.into_iter().filter(|given_up| *given_up).count() as u64)
}
