//! Idempotency keys of predictions.

use domain::{Failure, JobId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::boxed;
use crate::postgres::Database;
use crate::postgres::conflict::repeated;

/// What is known of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// New: reserved for this request.
    Reserved,
    /// The same request was made before, and this is its job.
    Known(JobId),
    /// The same request is being stored at this moment.
    Pending,
    /// The key was used for another request.
    Conflict,
}

impl Database {
    /// Reserves the key for this request, unless it is known; deletes keys older than a day.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn reserve_request(&self, caller: &str, key: &str, fingerprint: &[u8]) -> Result<Reservation, Failure> {
        // A request whose console dies while it is stored keeps its key for a minute. One that takes longer loses nothing:
        // the key is claimed with the job's row.
        const FORGET: &str = "DELETE FROM console_requests WHERE created_at < now() - interval '1 day'
            OR (job_id IS NULL AND created_at < now() - interval '1 minute')";
        const RESERVE: &str = "INSERT INTO console_requests (caller, key, fingerprint) VALUES ($1, $2, $3)
            ON CONFLICT (caller, key) DO NOTHING";
        const KNOWN: &str = "SELECT fingerprint, job_id FROM console_requests WHERE caller = $1 AND key = $2";
        let reserve = || async {
            sqlx::query(FORGET).execute(self.pool()).await?;
            let new = sqlx::query(RESERVE).bind(caller).bind(key).bind(fingerprint).execute(self.pool()).await?;
            if new.rows_affected() > 0 {
                return Ok(Reservation::Reserved);
            }
            let known = sqlx::query(KNOWN).bind(caller).bind(key).fetch_optional(self.pool()).await?;
            let Some(known) = known else { return Ok(Reservation::Pending) };
            if known.try_get::<Vec<u8>, _>("fingerprint")? != fingerprint {
                return Ok(Reservation::Conflict);
            }
            let job: Option<Uuid> = known.try_get("job_id")?;
            Ok(job.map_or(Reservation::Pending, |job| Reservation::Known(JobId(job))))
        };
        repeated(reserve).await
    }

    /// Frees the key of a request that registered no job.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn free_request(&self, caller: &str, key: &str) -> Result<(), Failure> {
        const FREE: &str = "DELETE FROM console_requests WHERE caller = $1 AND key = $2 AND job_id IS NULL";
        repeated(|| sqlx::query(FREE).bind(caller).bind(key).execute(self.pool())).await.map(drop)
    }
}

/// Gives the key to this job, in the transaction that registers it, unless another job has it: the same request that came
/// again after the reservation was forgotten. Gives the job that has the key; `None`: another request uses it.
pub(super) async fn claim(
    transaction: &mut PgConnection,
    caller: &str,
    key: &str,
    fingerprint: &[u8],
    job: JobId,
) -> Result<Option<JobId>, sqlx::Error> {
    // Waits for a transaction that claims the same key at this moment.
    const CLAIM: &str = "INSERT INTO console_requests AS r (caller, key, fingerprint, job_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT (caller, key) DO UPDATE SET job_id = coalesce(r.job_id, excluded.job_id)
         WHERE r.fingerprint = excluded.fingerprint
        RETURNING job_id";
    let claim = sqlx::query_scalar(CLAIM).bind(caller).bind(key).bind(fingerprint).bind(job.0);
    Ok(claim.fetch_optional(transaction).await?.map(JobId))
}
