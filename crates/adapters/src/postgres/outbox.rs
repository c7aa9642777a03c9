//! Messages that alerts owe: claimed by one dispatcher at a time, within what a destination takes.
//!
//! Any number of dispatchers may run. A destination's row is locked while one of them decides what
//! may be sent, for the length of a few statements; requests are made outside of any transaction,
//! on a claim that expires, so that a dispatcher that dies holds nothing for long.

use domain::Failure;
use domain::alert::Notice;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use std::time::Duration;

use super::{Database, errors};

/// Who asks for messages, and on which terms.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Name of the destination.
    pub destination: &'a str,
    /// What it takes; `None`: without limit.
    pub budget: Option<Budget>,
    /// Most messages in one request.
    pub most: u32,
    /// Until when the claim holds. Longer than a request may take.
    pub lease: Duration,
    /// Name of this dispatcher, different from every other's.
    pub owner: &'a str,
}

/// Most requests in any window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In any sixty seconds.
    pub per_minute: u32,
    /// In any second.
    pub per_second: u32,
}

/// What there is to do.
#[derive(Debug)]
pub enum Turn {
    /// Nothing may be sent now.
    Idle {
        /// When that may change by itself; `None`: when a message comes.
        wake: Option<Duration>,
    },
    /// Send these, then settle.
    Send(Claim),
}

/// Messages in hand.
#[derive(Debug)]
pub struct Claim {
    /// Name of the destination.
    pub destination: String,
    /// Failures of the destination in a row, so far.
    pub failures: u32,
    /// Oldest first; at least one.
    pub letters: Vec<Letter>,
    owner: String,
    send: Option<i64>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Number in the outbox.
    pub id: i64,
    /// Times it was tried, this one included.
    pub attempts: u32,
    /// What it says.
    pub notice: Notice,
}

impl Database {
    /// Claims what may be sent to a destination now: one message while each may be sent by itself,
    /// up to `most` when more wait than the destination takes.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn claim_messages(&self, order: &Order<'_>) -> Result<Turn, Failure> {
        let turn: Result<Turn, sqlx::Error> = async {
            let mut transaction = self.pool().begin().await?;
            let turn = claim(&mut transaction, order).await?;
            transaction.commit().await?;
            Ok(turn)
        }
        .await;
        turn.map_err(|e| errors::failure(&e))
    }

    /// Gives back the messages of a claim that did not fit into the request, untried.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`; they come back by themselves when the claim expires.
    pub async fn give_back(&self, claim: &mut Claim, kept: usize) -> Result<(), Failure> {
        const GIVE_BACK: &str = "UPDATE outbox SET claimed_by = NULL, claimed_until = NULL, attempts = attempts - 1
            WHERE id = ANY($1) AND claimed_by = $2";
        let rest: Vec<i64> = claim.letters.split_off(kept.min(claim.letters.len())).iter().map(|l| l.id).collect();
        if rest.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(GIVE_BACK).bind(rest).bind(&claim.owner);
        query.execute(self.pool()).await.map(drop).map_err(|e| errors::failure(&e))
    }
}

async fn claim(connection: &mut PgConnection, order: &Order<'_>) -> Result<Turn, sqlx::Error> {
    const KNOW: &str = "INSERT INTO destinations (name) VALUES ($1) ON CONFLICT DO NOTHING";
    const LOCK: &str = "SELECT failures, extract(epoch FROM blocked_until - clock_timestamp())::float8 AS blocked_s
        FROM destinations WHERE name = $1 FOR UPDATE";
    const SURVEY: &str = include_str!("queries/alerts/survey.sql");
    sqlx::query(KNOW).bind(order.destination).execute(&mut *connection).await?;
    let state = sqlx::query(LOCK).bind(order.destination).fetch_one(&mut *connection).await?;
    if let Some(blocked_s) = state.try_get::<Option<f64>, _>("blocked_s")?.filter(|s| *s > 0.0) {
        return Ok(Turn::Idle { wake: Some(Duration::from_secs_f64(blocked_s)) });
    }
    let lease_s = order.lease.as_secs_f64();
    let survey = sqlx::query(SURVEY).bind(order.destination).bind(lease_s).fetch_one(&mut *connection).await?;
    let due: i64 = survey.try_get("due")?;
    if due == 0 {
        return Ok(Turn::Idle { wake: seconds(&survey, "next_due_s")? });
    }
    let free = match free(&survey, order.budget)? {
        Free::Requests(free) => free,
        Free::In(wake) => return Ok(Turn::Idle { wake }),
    };
    // More wait than may be sent one by one: they travel together.
    let most = if order.budget.is_some() && due <= free { 1 } else { order.most };
    let letters = take(connection, order, most).await?;
    if letters.is_empty() {
        return Ok(Turn::Idle { wake: Some(Duration::from_secs(1)) }); // due, yet behind what it must not overtake
    }
    let send = match order.budget {
        Some(_) => Some(note_send(connection, order.destination).await?),
        None => None,
    };
    let failures = u32::try_from(state.try_get::<i32, _>("failures")?).unwrap_or_default();
    let (destination, owner) = (order.destination.to_owned(), order.owner.to_owned());
    Ok(Turn::Send(Claim { destination, failures, letters, owner, send }))
}

enum Free {
    Requests(i64),
    In(Option<Duration>),
}

fn free(survey: &PgRow, budget: Option<Budget>) -> Result<Free, sqlx::Error> {
    let Some(budget) = budget else { return Ok(Free::Requests(i64::MAX)) };
    let minute = i64::from(budget.per_minute) - survey.try_get::<i64, _>("minute_used")?;
    let second = i64::from(budget.per_second) - survey.try_get::<i64, _>("second_used")?;
    if minute <= 0 {
        return Ok(Free::In(seconds(survey, "minute_frees_s")?));
    }
    if second <= 0 {
        return Ok(Free::In(seconds(survey, "second_frees_s")?));
    }
    Ok(Free::Requests(minute))
}

fn seconds(row: &PgRow, column: &str) -> Result<Option<Duration>, sqlx::Error> {
    let seconds: Option<f64> = row.try_get(column)?;
    Ok(seconds.map(|s| Duration::from_secs_f64(s.clamp(0.01, 3600.0))))
}

async fn take(connection: &mut PgConnection, order: &Order<'_>, most: u32) -> Result<Vec<Letter>, sqlx::Error> {
    const TAKE: &str = include_str!("queries/alerts/take.sql");
    let rows = sqlx::query(TAKE)
        .bind(order.destination)
        .bind(i64::from(most))
        .bind(order.owner)
        .bind(order.lease.as_secs_f64())
        .fetch_all(connection)
        .await?;
    let letter = |row: &PgRow| {
        let Json(notice) = row.try_get::<Json<Notice>, _>("payload")?;
        let attempts = u32::try_from(row.try_get::<i32, _>("attempts")?).unwrap_or(u32::MAX);
        Ok(Letter { id: row.try_get("id")?, attempts, notice })
    };
    let mut letters = rows.iter().map(letter).collect::<Result<Vec<_>, sqlx::Error>>()?;
    letters.sort_by_key(|letter| letter.id);
    Ok(letters)
}

/// Counts a request against the limits, and forgets those that count no longer.
async fn note_send(connection: &mut PgConnection, destination: &str) -> Result<i64, sqlx::Error> {
    const FORGET: &str = "DELETE FROM destination_sends
        WHERE destination = $1 AND begun_at < statement_timestamp() - interval '15 minutes'";
    const NOTE: &str = "INSERT INTO destination_sends (destination) VALUES ($1) RETURNING id";
    sqlx::query(FORGET).bind(destination).execute(&mut *connection).await?;
    sqlx::query_scalar(NOTE).bind(destination).fetch_one(connection).await
}

impl Claim {
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    pub(super) fn send(&self) -> Option<i64> {
        self.send
    }
}
