//! Whether the database as a whole works for a worker: asked when one statement failed.

use domain::{Failure, FailureCode};

use super::{Database, errors};
use crate::boxed;

impl Database {
    /// Whether a worker could record jobs: the server answers and can be written, the tables are there, and the user may
    /// write them. Changes nothing.
    ///
    /// # Errors
    /// `database.unreachable`, `database.not_migrated`, `database.refused`.
    #[boxed]
    pub async fn probe_worker(&self) -> Result<(), Failure> {
        const PROBE: &str = include_str!("probe.sql");
        let mut connection = self.pool().acquire().await.map_err(|e| errors::failure(&e))?;
        let may_insert: bool = match sqlx::query_scalar(PROBE).fetch_one(&mut *connection).await {
            Ok(may_insert) => may_insert,
            Err(error) => {
                // After a failover it may be one to what is a standby now: as good as any, it would be asked again and again.
                connection.close_on_drop();
                return Err(errors::failure(&error));
            }
        };
        if may_insert {
            return Ok(());
        }
        Err(Failure::new(FailureCode::DatabaseRefused, "the user may not insert rows: see migrations/grants.sql"))
    }
}
