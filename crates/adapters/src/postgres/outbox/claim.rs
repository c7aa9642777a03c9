//! Claiming messages, within the rate limit of their destination.

use domain::Failure;
use domain::alert::{AlertMessage, RateLimit};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use std::time::Duration;

use crate::boxed;
use crate::postgres::Database;
use crate::postgres::conflict::repeated;

/// What a dispatcher asks for.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    /// Name of the destination.
    pub destination: &'a str,
    /// Most requests to it; `None`: no limit.
    pub rate_limit: Option<RateLimit>,
    /// Most messages in one claim.
    pub max_messages: u32,
    /// Time until the claim expires. Longer than a request may take.
    pub lease: Duration,
    /// Name of this dispatcher, unique among all.
    pub owner: &'a str,
}

/// The answer to a [`ClaimRequest`].
#[derive(Debug)]
pub enum ClaimOutcome {
    /// Nothing may be sent now.
    Nothing {
        /// Time until that may change without a new message; `None`: only a new message changes it.
        retry_in: Option<Duration>,
    },
    /// These messages are to be sent, and the outcome recorded.
    Claimed(Claim),
}

/// Claimed messages.
#[derive(Debug)]
pub struct Claim {
    /// Name of the destination.
    pub destination: String,
    /// Consecutive failures of the destination so far.
    pub failures: u32,
    /// Oldest first; at least one.
    pub messages: Vec<OutboxMessage>,
    pub(super) owner: String,
    /// The request in `destination_sends`, where it counts against the rate limit.
    pub(super) send_id: Option<i64>,
}

/// A message of the outbox.
#[derive(Debug, Clone)]
pub struct OutboxMessage {
    /// Id in the outbox.
    pub id: i64,
    /// Attempts, this one included.
    pub attempts: u32,
    /// The payload.
    pub alert: AlertMessage,
}

impl Database {
    /// Claims what may be sent to a destination now: one message while there are no more than the rate limit
    /// allows, up to `max_messages` otherwise.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn claim_messages(&self, request: &ClaimRequest<'_>) -> Result<ClaimOutcome, Failure> {
        let claim = || async {
            let mut transaction = self.begin().await?;
            let outcome = claim_in(&mut transaction, request).await?;
            transaction.commit().await?;
            Ok(outcome)
        };
        repeated(claim).await
    }

    /// Releases all but the first `kept` messages of a claim; the attempt does not count for them.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`; they are released when the claim expires, too.
    #[boxed]
    pub async fn release_messages(&self, claim: &mut Claim, kept: usize) -> Result<(), Failure> {
        const RELEASE: &str = "UPDATE outbox SET claimed_by = NULL, claimed_until = NULL, attempts = attempts - 1
            WHERE id = ANY($1) AND claimed_by = $2";
        let rest: Vec<i64> = claim.messages.split_off(kept.min(claim.messages.len())).iter().map(|m| m.id).collect();
        if rest.is_empty() {
            return Ok(());
        }
        repeated(|| sqlx::query(RELEASE).bind(&rest).bind(&claim.owner).execute(self.pool())).await.map(drop)
    }
}

async fn claim_in(connection: &mut PgConnection, request: &ClaimRequest<'_>) -> Result<ClaimOutcome, sqlx::Error> {
    const UPSERT: &str = "INSERT INTO destinations (name) VALUES ($1) ON CONFLICT DO NOTHING";
    const LOCK: &str = "SELECT failures, extract(epoch FROM blocked_until - clock_timestamp())::float8 AS blocked_s
        FROM destinations WHERE name = $1 FOR UPDATE";
    const CLAIMABLE: &str = include_str!("claimable.sql");
    sqlx::query(UPSERT).bind(request.destination).execute(&mut *connection).await?;
    let state = sqlx::query(LOCK).bind(request.destination).fetch_one(&mut *connection).await?;
    if let Some(blocked_s) = state.try_get::<Option<f64>, _>("blocked_s")?.filter(|s| *s > 0.0) {
        return Ok(ClaimOutcome::Nothing { retry_in: Some(Duration::from_secs_f64(blocked_s)) });
    }
    let lease_s = request.lease.as_secs_f64();
    let counts = sqlx::query(CLAIMABLE).bind(request.destination).bind(lease_s).fetch_one(&mut *connection).await?;
    let due: i64 = counts.try_get("due")?;
    if due == 0 {
        return Ok(ClaimOutcome::Nothing { retry_in: seconds(&counts, "next_due_s")? });
    }
    let requests_left = match request.rate_limit.map(|limit| capacity(&counts, limit)).transpose()? {
        None => i64::MAX,
        Some(Capacity::Requests(requests)) => requests,
        Some(Capacity::NoneFor(retry_in)) => return Ok(ClaimOutcome::Nothing { retry_in }),
    };
    // More are due than may be sent one by one: they go into one request.
    let max_messages = if request.rate_limit.is_some() && due <= requests_left { 1 } else { request.max_messages };
    let messages = claim_oldest(connection, request, max_messages).await?;
    if messages.is_empty() {
        // Due, but after a message that it must not overtake.
        return Ok(ClaimOutcome::Nothing { retry_in: Some(Duration::from_secs(1)) });
    }
    let send_id = match request.rate_limit {
        Some(_) => Some(count_request(connection, request.destination).await?),
        None => None,
    };
    let failures = u32::try_from(state.try_get::<i32, _>("failures")?).unwrap_or_default();
    let (destination, owner) = (request.destination.to_owned(), request.owner.to_owned());
    Ok(ClaimOutcome::Claimed(Claim { destination, failures, messages, owner, send_id }))
}

/// What is left of a rate limit.
enum Capacity {
    /// Requests in this minute.
    Requests(i64),
    /// No request for this long.
    NoneFor(Option<Duration>),
}

fn capacity(counts: &PgRow, limit: RateLimit) -> Result<Capacity, sqlx::Error> {
    let in_minute = i64::from(limit.per_minute) - counts.try_get::<i64, _>("minute_used")?;
    let in_second = i64::from(limit.per_second) - counts.try_get::<i64, _>("second_used")?;
    if in_minute <= 0 {
        return Ok(Capacity::NoneFor(seconds(counts, "minute_frees_s")?));
    }
    if in_second <= 0 {
        return Ok(Capacity::NoneFor(seconds(counts, "second_frees_s")?));
    }
    Ok(Capacity::Requests(in_minute))
}

fn seconds(row: &PgRow, column: &str) -> Result<Option<Duration>, sqlx::Error> {
    let seconds: Option<f64> = row.try_get(column)?;
    Ok(seconds.map(|s| Duration::from_secs_f64(s.clamp(0.01, 3600.0))))
}

async fn claim_oldest(
    connection: &mut PgConnection,
    request: &ClaimRequest<'_>,
    max_messages: u32,
) -> Result<Vec<OutboxMessage>, sqlx::Error> {
    const CLAIM: &str = include_str!("claim.sql");
    let rows = sqlx::query(CLAIM)
        .bind(request.destination)
        .bind(i64::from(max_messages))
        .bind(request.owner)
        .bind(request.lease.as_secs_f64())
        .fetch_all(&mut *connection)
        .await?;
    let (mut messages, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        let (id, attempts) = (row.try_get("id")?, row.try_get::<i32, _>("attempts")?);
        match row.try_get::<Json<AlertMessage>, _>("payload") {
            Ok(Json(alert)) => {
                messages.push(OutboxMessage { id, attempts: u32::try_from(attempts).unwrap_or(u32::MAX), alert });
            }
            Err(_) => unreadable.push(id),
        }
    }
    give_up_unreadable(connection, request, &unreadable).await?;
    messages.sort_by_key(|message| message.id);
    Ok(messages)
}

/// Sets aside messages whose payload is none of ours: one of them must not hold up the others.
async fn give_up_unreadable(
    connection: &mut PgConnection,
    request: &ClaimRequest<'_>,
    ids: &[i64],
) -> Result<(), sqlx::Error> {
    const GIVE_UP: &str = "UPDATE outbox SET given_up_at = clock_timestamp(), claimed_by = NULL, claimed_until = NULL,
        last_error = 'the payload is no alert message' WHERE id = ANY($1)";
    if ids.is_empty() {
        return Ok(());
    }
    tracing::error!(destination = request.destination, ?ids, "given up: the payloads of these messages are no alerts");
    sqlx::query(GIVE_UP).bind(ids).execute(connection).await.map(drop)
}

/// Counts a request against the rate limit, and deletes those that no longer count.
async fn count_request(connection: &mut PgConnection, destination: &str) -> Result<i64, sqlx::Error> {
    const DELETE_OLD: &str = "DELETE FROM destination_sends
        WHERE destination = $1 AND begun_at < statement_timestamp() - interval '15 minutes'";
    const INSERT: &str = "INSERT INTO destination_sends (destination) VALUES ($1) RETURNING id";
    sqlx::query(DELETE_OLD).bind(destination).execute(&mut *connection).await?;
    sqlx::query_scalar(INSERT).bind(destination).fetch_one(connection).await
}
