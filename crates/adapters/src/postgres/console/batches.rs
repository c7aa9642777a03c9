//! Batches page by page.

use chrono::{DateTime, Utc};
use domain::{BatchId, Failure};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};

use super::filter::Cursor;
use crate::boxed;
use crate::postgres::{Database, errors};

/// A batch without its counts, which [`Database::batch_progress`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Identity.
    pub id: BatchId,
    /// As the operator calls it.
    pub name: String,
    /// Where the keys came from.
    pub source: String,
    /// When it was first enqueued.
    pub created_at: DateTime<Utc>,
}

impl Database {
    /// One batch.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn batch(&self, id: BatchId) -> Result<Option<BatchRow>, Failure> {
        const BATCH: &str = "SELECT id, name, source, created_at FROM batches WHERE id = $1";
        sqlx::query_as(BATCH).bind(id.0).fetch_optional(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// A page of batches, newest first.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn batch_page(&self, after: Option<Cursor>, limit: u32) -> Result<Vec<BatchRow>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new("SELECT id, name, source, created_at FROM batches WHERE true");
        if let Some(after) = after {
            query.push(" AND (created_at, id) < (").push_bind(after.at).push(", ").push_bind(after.id).push(")");
        }
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(i64::from(limit));
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for BatchRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: BatchId(row.try_get("id")?),
            name: row.try_get("name")?,
            source: row.try_get("source")?,
            created_at: row.try_get("created_at")?,
        })
    }
}
