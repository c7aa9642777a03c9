//! Writes that meet those of another program at the same moment. Postgres ends one of two transactions that wait for each
//! other, and refuses a row whose parent was deleted meanwhile: nothing of it was written, and it may begin again.

use domain::Failure;
use std::time::Duration;

use super::errors;
use crate::retry::Backoff;

/// Times that a transaction begins again. Each time that two meet, one of them gets on.
const REPETITIONS: u32 = 10;
/// Pauses before: Postgres itself needs a second to find that two wait for each other.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Runs a transaction, or a single statement, and again from its beginning while another one is in its way. All writes go
/// through here.
///
/// # Errors
/// The failure of the last attempt: `database.unreachable`, also for a conflict that does not end; `database.refused`.
pub(super) async fn repeated<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let mut backoff = Backoff::starting_at(FIRST_PAUSE, LONGEST_PAUSE);
    let mut left = REPETITIONS;
    loop {
        // On the heap: the futures of those who write are large enough.
        match Box::pin(transaction()).await {
            Err(error) if left > 0 && is_conflict(&error) => {
                left -= 1;
                tracing::debug!(reason = %errors::failure(&error), "transaction conflict: retrying");
                tokio::time::sleep(backoff.pause()).await;
            }
            outcome => return outcome.map_err(|e| errors::failure(&e)),
        }
    }
}

/// Serialization failure, deadlock, lock not available; a row with the same key inserted, or the parent of a row deleted,
/// since the transaction looked.
fn is_conflict(error: &sqlx::Error) -> bool {
    const STATES: [&str; 5] = ["40001", "40P01", "55P03", "23505", "23503"];
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|state| STATES.contains(&&*state))
}
