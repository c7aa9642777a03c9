//! The rows of a report's segments and channels, as one array per column: one statement inserts all rows.

use chrono::{DateTime, Datelike, Utc};
use domain::{Emotion, Failure, Report};
use sqlx::PgConnection;
use std::sync::PoisonError;
use uuid::Uuid;

use crate::postgres::Database;
use crate::postgres::conflict::repeated;
use crate::postgres::rows::channel_number;

impl Database {
    /// Creates the partition of `segments` for this month, unless this process knows that it exists. Call it
    /// before the transaction that writes: creating one locks out writers for a moment.
    pub(in crate::postgres) async fn ensure_month(&self, moment: DateTime<Utc>) -> Result<(), Failure> {
        if self.knows_month(moment) {
            return Ok(());
        }
        repeated(|| sqlx::query("SELECT segments_month($1)").bind(moment).execute(self.pool())).await?;
        self.months.lock().unwrap_or_else(PoisonError::into_inner).insert(month(moment));
        Ok(())
    }

    /// Whether this process knows that the month has a partition.
    pub(super) fn knows_month(&self, moment: DateTime<Utc>) -> bool {
        self.months.lock().unwrap_or_else(PoisonError::into_inner).contains(&month(moment))
    }
}

/// Year and month.
fn month(moment: DateTime<Utc>) -> (i32, u32) {
    (moment.year(), moment.month())
}

/// The rows of `segments`.
#[derive(Default)]
pub(super) struct SegmentColumns {
    channel: Vec<i16>,
    segment: Vec<i32>,
    role: Vec<&'static str>,
    start_s: Vec<f32>,
    end_s: Vec<f32>,
    emotion: Vec<&'static str>,
    /// Shape `[rows * 9]`.
    scores: Vec<f32>,
    confidence: Vec<f32>,
}

impl SegmentColumns {
    pub(super) fn of(report: &Report) -> Self {
        let mut columns = Self::default();
        for channel in &report.channels {
            for segment in &channel.segments {
                columns.channel.push(channel_number(channel.channel));
                columns.segment.push(i32::try_from(segment.index).unwrap_or(i32::MAX));
                columns.role.push(channel.role.label());
                columns.start_s.push(segment.start_s as f32);
                columns.end_s.push(segment.end_s as f32);
                columns.emotion.push(segment.emotion.label());
                columns.scores.extend(segment.scores.as_array());
                columns.confidence.push(segment.confidence);
            }
        }
        columns
    }

    pub(super) async fn insert(
        self,
        connection: &mut PgConnection,
        job: Uuid,
        called_at: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        const INSERT: &str = include_str!("insert_segments.sql");
        let query = sqlx::query(INSERT)
            .bind(job)
            .bind(called_at)
            .bind(self.channel)
            .bind(self.segment)
            .bind(self.role)
            .bind(self.start_s)
            .bind(self.end_s)
            .bind(self.emotion)
            .bind(self.scores)
            .bind(self.confidence);
        query.execute(connection).await.map(drop)
    }
}

/// The rows of `channels`, without the columns that the database computes from the segments.
#[derive(Default)]
pub(super) struct ChannelColumns {
    channel: Vec<i16>,
    scored: Vec<bool>,
    role: Vec<&'static str>,
    speech_s: Vec<f32>,
    level_dbfs: Vec<Option<f32>>,
    emotion: Vec<Option<&'static str>>,
    /// Shape `[rows * 9]`; `None` for channels without scores.
    scores: Vec<Option<f32>>,
}

impl ChannelColumns {
    pub(super) fn of(report: &Report) -> Self {
        let mut columns = Self::default();
        for channel in &report.channels {
            columns.channel.push(channel_number(channel.channel));
            columns.scored.push(channel.scored);
            columns.role.push(channel.role.label());
            columns.speech_s.push(channel.speech_s as f32);
            columns.level_dbfs.push(channel.level_dbfs);
            columns.emotion.push(channel.scores.map(|s| s.top().0.label()));
            match channel.scores {
                Some(scores) => columns.scores.extend(scores.as_array().map(Some)),
                None => columns.scores.extend([None; Emotion::COUNT]),
            }
        }
        columns
    }

    pub(super) async fn insert(
        self,
        connection: &mut PgConnection,
        job: Uuid,
        called_at: DateTime<Utc>,
        recording: Uuid,
    ) -> Result<(), sqlx::Error> {
        const INSERT: &str = include_str!("insert_channels.sql");
        let query = sqlx::query(INSERT)
            .bind(job)
            .bind(called_at)
            .bind(recording)
            .bind(self.channel)
            .bind(self.scored)
            .bind(self.role)
            .bind(self.speech_s)
            .bind(self.emotion)
            .bind(self.scores)
            .bind(self.level_dbfs);
        query.execute(connection).await.map(drop)
    }
}
