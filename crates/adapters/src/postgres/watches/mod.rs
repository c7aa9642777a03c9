//! What a watcher remembers, and what it asks about recordings that it finds.

use chrono::{DateTime, Utc};
use domain::{AnalysisOptions, Failure, JobId, ObjectRef};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use std::time::Duration;
use uuid::Uuid;

use super::conflict::repeated;
use super::jobs::recording_id;
use super::{Database, errors};
use crate::boxed;

/// A range of keys, in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// Behind this key, which need not exist.
    pub after: String,
    /// Up to and including this one; `None`: to the end of the prefix.
    pub until: Option<String>,
}

/// Where a watcher is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchState {
    /// When the latest complete listing of the whole prefix began.
    pub listed_at: DateTime<Utc>,
    /// Where objects were written lately.
    pub ranges: Vec<KeyRange>,
}

/// What is known of a recording, and of the jobs on it with one model and one set of options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of the answer")]
pub struct RecordingState {
    /// Which call data the recording has, where a watcher gave it any.
    pub call_data_version: Option<String>,
    /// There is the very job, with the same channels.
    pub same_job: bool,
    /// There is a job, with whatever channels.
    pub any_job: bool,
    /// One of these jobs was never confirmed by the broker ...
    pub unconfirmed: bool,
    /// ... and was registered so lately that another program may be about to publish it.
    pub in_flight: bool,
    /// Its rows were pruned.
    pub pruned: bool,
}

/// The newest version of an object on which there is a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnqueuedObject {
    /// Its key.
    pub key: String,
    /// Its etag, where it has one.
    pub etag: Option<String>,
    /// As in [`RecordingState`].
    pub call_data_version: Option<String>,
}

impl Database {
    /// What the watcher with this identity remembers.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn watch_state(&self, id: Uuid) -> Result<Option<WatchState>, Failure> {
        let state = sqlx::query_as("SELECT listed_at, range_after, range_until FROM watches WHERE id = $1").bind(id);
        state.fetch_optional(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Remembers where a watcher is.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn save_watch_state(&self, id: Uuid, place: (&str, &str), state: &WatchState) -> Result<(), Failure> {
        const SAVE: &str = "INSERT INTO watches (id, bucket, prefix, listed_at, range_after, range_until)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE
            SET listed_at = excluded.listed_at, range_after = excluded.range_after, range_until = excluded.range_until
            WHERE watches.listed_at < excluded.listed_at";
        let (after, until): (Vec<_>, Vec<_>) =
            state.ranges.iter().map(|range| (range.after.as_str(), range.until.as_deref())).unzip();
        let save = || {
            let save = sqlx::query(SAVE).bind(id).bind(place.0).bind(place.1).bind(state.listed_at);
            save.bind(&after).bind(&until).execute(self.pool())
        };
        repeated(save).await.map(drop)
    }

    /// What is known of these recordings, at their positions. `options` name model, granularity and embedding; a job that
    /// was registered within `in_flight` and not published counts as being in another program's hands.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn recording_states(
        &self,
        objects: &[ObjectRef],
        options: &AnalysisOptions,
        in_flight: Duration,
    ) -> Result<Vec<RecordingState>, Failure> {
        const STATES: &str = include_str!("states.sql");
        let positions: Vec<i32> = (0..).take(objects.len()).collect();
        let recordings: Vec<Uuid> = objects.iter().map(recording_id).collect();
        let jobs: Vec<Uuid> = objects.iter().map(|object| JobId::of(object, options).0).collect();
        let states = sqlx::query_as(STATES).bind(positions).bind(recordings).bind(jobs);
        let states = states.bind(&options.model).bind(without_channels(options)).bind(in_flight.as_secs_f64());
        states.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Notes which call data these recordings have. Returns the positions of those that had another version until now.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn set_call_data_versions(&self, versions: &[(ObjectRef, String)]) -> Result<Vec<usize>, Failure> {
        const SET: &str = "UPDATE recordings r SET call_data_version = i.version
            FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS i (id, version, position)
            WHERE r.id = i.id AND r.call_data_version IS DISTINCT FROM i.version
            RETURNING i.position - 1";
        let (ids, versions): (Vec<_>, Vec<_>) =
            versions.iter().map(|(object, version)| (recording_id(object), version.as_str())).unzip();
        let positions: Vec<i64> =
            repeated(|| sqlx::query_scalar(SET).bind(&ids).bind(&versions).fetch_all(self.pool())).await?;
        Ok(positions.into_iter().filter_map(|position| usize::try_from(position).ok()).collect())
    }

    /// Of each of these keys, the version of the object that was registered last, where there is a job on it with these
    /// options and whatever channels; other keys are left out.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn enqueued_objects(
        &self,
        bucket: &str,
        keys: &[String],
        options: &AnalysisOptions,
    ) -> Result<Vec<EnqueuedObject>, Failure> {
        const FIND: &str = "SELECT DISTINCT ON (key) key, nullif(etag, '') AS etag, call_data_version AS version
            FROM recordings r WHERE bucket = $1 AND key = ANY($2) AND EXISTS (SELECT FROM analyses a
                WHERE a.recording_id = r.id AND a.model_name = $3 AND a.options - 'channels' = $4)
            ORDER BY key, created_at DESC";
        let found = sqlx::query_as(FIND).bind(bucket).bind(keys).bind(&options.model).bind(without_channels(options));
        found.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

/// The options as `analyses.options` has them.
fn without_channels(options: &AnalysisOptions) -> Value {
    json!({ "granularity": options.granularity, "embedding": options.embedding })
}

impl FromRow<'_, PgRow> for WatchState {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (after, until): (Vec<String>, Vec<Option<String>>) =
            (row.try_get("range_after")?, row.try_get("range_until")?);
        let ranges = after.into_iter().zip(until).map(|(after, until)| KeyRange { after, until }).collect();
        Ok(Self { listed_at: row.try_get("listed_at")?, ranges })
    }
}

impl FromRow<'_, PgRow> for RecordingState {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            call_data_version: row.try_get("version")?,
            same_job: row.try_get("same_job")?,
            any_job: row.try_get("any_job")?,
            unconfirmed: row.try_get("unconfirmed")?,
            in_flight: row.try_get("in_flight")?,
            pruned: row.try_get("pruned")?,
        })
    }
}

impl FromRow<'_, PgRow> for EnqueuedObject {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { key: row.try_get("key")?, etag: row.try_get("etag")?, call_data_version: row.try_get("version")? })
    }
}
