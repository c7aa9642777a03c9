//! Retrying what was given up.

use domain::Failure;

use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, alerts};

impl Database {
    /// Retries the messages of a destination that were given up, and ends its pause. Returns how many messages.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn retry_given_up(&self, destination: &str) -> Result<u64, Failure> {
        const RETRY: &str = "WITH unblocked AS (
                UPDATE destinations SET blocked_until = NULL, failures = 0 WHERE name = $1)
            UPDATE outbox SET given_up_at = NULL, attempts = 0, next_attempt_at = now()
             WHERE destination = $1 AND given_up_at IS NOT NULL";
        let retried = repeated(|| sqlx::query(RETRY).bind(destination).execute(self.pool())).await?;
        repeated(|| sqlx::query("SELECT pg_notify($1, '')").bind(alerts::CHANNEL).execute(self.pool())).await?;
        Ok(retried.rows_affected())
    }
}
