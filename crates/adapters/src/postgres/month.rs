//! Partitions of `segments`: the one for a call's month exists before its transaction begins.

use chrono::{DateTime, Datelike, Utc};
use domain::Failure;
use std::sync::PoisonError;

use super::{Database, errors};

impl Database {
    /// Makes the partition for this month unless this process knows that it exists.
    /// In a transaction of its own: making one locks out writers for a moment.
    pub(super) async fn ensure_month(&self, moment: DateTime<Utc>) -> Result<(), Failure> {
        let month = (moment.year(), moment.month());
        if self.months.lock().unwrap_or_else(PoisonError::into_inner).contains(&month) {
            return Ok(());
        }
        let made = sqlx::query("SELECT segments_month($1)").bind(moment).execute(self.pool()).await;
        made.map_err(|e| errors::failure(&e))?;
        self.months.lock().unwrap_or_else(PoisonError::into_inner).insert(month);
        Ok(())
    }
}
