//! Recordings, one or page by page.

use chrono::{DateTime, Utc};
use domain::{CallData, Failure};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::analyses::call;
use super::filter::{Cursor, RecordingFilter};
use crate::boxed;
use crate::postgres::{Database, errors};

const RECORDING: &str =
    "SELECT r.id AS recording_id, r.bucket, r.key, r.call_id, r.agent, r.team, r.customer, r.started_at AS call_started_at,
    r.attributes, r.container, r.codec, r.sample_rate, r.channels, r.duration_s, r.bytes, r.created_at
    FROM recordings r WHERE true";

/// A recording, as registered.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingRow {
    /// Identity, call and sound.
    pub facts: RecordingFacts,
    /// When it was first registered.
    pub created_at: DateTime<Utc>,
}

/// One version of an object, with what is known of the call and the sound.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingFacts {
    /// Identity.
    pub id: Uuid,
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// Call data.
    pub call: CallData,
    /// Container, by content; `None` until analysed, like the next five.
    pub container: Option<String>,
    /// Codec.
    pub codec: Option<String>,
    /// Hz.
    pub sample_rate: Option<u32>,
    /// Channels.
    pub channels: Option<u16>,
    /// Seconds.
    pub duration_s: Option<f64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl Database {
    /// One recording; with a team, only when it is of that team.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn recording(&self, id: Uuid, team: Option<&str>) -> Result<Option<RecordingRow>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new(RECORDING);
        query.push(" AND r.id = ").push_bind(id);
        if let Some(team) = team {
            query.push(" AND r.team = ").push_bind(team.to_owned());
        }
        query.build_query_as().fetch_optional(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// A page of recordings, newest first.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn recordings(
        &self,
        filter: &RecordingFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<RecordingRow>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new(RECORDING);
        filter.push(&mut query);
        if let Some(after) = after {
            query.push(" AND (r.created_at, r.id) < (").push_bind(after.at).push(", ").push_bind(after.id).push(")");
        }
        query.push(" ORDER BY r.created_at DESC, r.id DESC LIMIT ").push_bind(i64::from(limit));
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for RecordingRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { facts: RecordingFacts::from_row(row)?, created_at: row.try_get("created_at")? })
    }
}

impl FromRow<'_, PgRow> for RecordingFacts {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("recording_id")?,
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
            call: call(row)?,
            container: row.try_get("container")?,
            codec: row.try_get("codec")?,
            sample_rate: row.try_get::<Option<i32>, _>("sample_rate")?.map(i32::unsigned_abs),
            channels: row.try_get::<Option<i16>, _>("channels")?.map(i16::unsigned_abs),
            duration_s: row.try_get("duration_s")?,
            bytes: row.try_get::<Option<i64>, _>("bytes")?.map(i64::unsigned_abs),
        })
    }
}
