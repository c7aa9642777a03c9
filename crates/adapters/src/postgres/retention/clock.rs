//! What the latest pruning by age saw of time, so that the next one notices a clock that jumped.

use chrono::{DateTime, Utc};
use domain::Failure;
use sqlx::Row;

use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, errors};

/// Time that no clock tells: for how long a machine has been running.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Boot {
    /// Identity of the machine since it was started; empty where it tells none.
    pub id: String,
    /// Seconds since then.
    pub up_s: f64,
}

/// The latest pruning by age.
#[derive(Debug, Clone, PartialEq)]
pub struct LastPrune {
    /// By the clock of the machine that it ran on.
    pub at: DateTime<Utc>,
    /// That machine.
    pub boot: Boot,
}

impl Database {
    /// The time by the clock of Postgres, and the latest pruning by age.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn last_prune(&self) -> Result<(DateTime<Utc>, Option<LastPrune>), Failure> {
        const LAST: &str = "SELECT clock_timestamp() AS now, p.pruned_at, p.boot, p.up_s
            FROM (SELECT) AS always LEFT JOIN last_prune p ON true";
        let read = async {
            let row = sqlx::query(LAST).fetch_one(self.pool()).await?;
            let last = match row.try_get::<Option<DateTime<Utc>>, _>("pruned_at")? {
                Some(at) => Some(LastPrune { at, boot: Boot { id: row.try_get("boot")?, up_s: row.try_get("up_s")? } }),
                None => None,
            };
            Ok((row.try_get("now")?, last))
        };
        read.await.map_err(|e: sqlx::Error| errors::failure(&e))
    }

    /// Notes a pruning by age.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn note_prune(&self, prune: &LastPrune) -> Result<(), Failure> {
        const NOTE: &str = "INSERT INTO last_prune (pruned_at, boot, up_s) VALUES ($1, $2, $3)
            ON CONFLICT (single) DO UPDATE
            SET pruned_at = excluded.pruned_at, boot = excluded.boot, up_s = excluded.up_s";
        let query = || sqlx::query(NOTE).bind(prune.at).bind(&prune.boot.id).bind(prune.boot.up_s);
        repeated(|| query().execute(self.pool())).await.map(drop)
    }
}
