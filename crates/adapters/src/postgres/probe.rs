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
        let may_insert: bool =
            sqlx::query_scalar(PROBE).fetch_one(self.pool()).await.map_err(|e| errors::failure(&e))?;
        if may_insert {
            return Ok(());
        }
        Err(Failure::new(FailureCode::DatabaseRefused, "the user may not insert rows: see migrations/grants.sql"))
    }
}
