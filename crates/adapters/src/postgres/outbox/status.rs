//! The state of the destinations: what is pending, delivered, given up.

use chrono::{DateTime, Utc};
use domain::Failure;
use sqlx::FromRow;

use crate::boxed;
use crate::postgres::{Database, errors};

/// The state of a destination.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct DestinationStatus {
    /// Its name.
    pub destination: String,
    /// Pending messages.
    pub waiting: i64,
    /// When the oldest of them was written.
    pub oldest_waiting: Option<DateTime<Utc>>,
    /// Messages delivered in the last 24 hours.
    pub delivered_today: i64,
    /// Messages given up.
    pub given_up: i64,
    /// Nothing is sent there until then.
    pub blocked_until: Option<DateTime<Utc>>,
    /// Why the last request failed; `None` once one succeeded.
    pub last_error: Option<String>,
}

/// The pending messages of a destination.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct DestinationBacklog {
    /// Its name.
    pub destination: String,
    /// Number of messages.
    pub messages: i64,
    /// Age of the oldest, seconds.
    pub oldest_s: f64,
}

impl Database {
    /// The backlog of each destination that has one.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn outbox_backlog(&self) -> Result<Vec<DestinationBacklog>, Failure> {
        const BACKLOG: &str = "SELECT destination, count(*) AS messages,
                extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_s
            FROM outbox WHERE delivered_at IS NULL AND given_up_at IS NULL GROUP BY destination";
        sqlx::query_as(BACKLOG).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// The state of each destination that ever had a message.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn destination_status(&self) -> Result<Vec<DestinationStatus>, Failure> {
        const STATUS: &str = "SELECT destination, waiting, oldest_waiting, delivered_today, given_up, blocked_until,
            last_error FROM alert_deliveries ORDER BY destination";
        sqlx::query_as(STATUS).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}
