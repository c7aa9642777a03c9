//! The timeline of one analysis, page by page.

use domain::{Emotion, Failure, JobId, Role, Scores};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};

use super::analyses::{scores, unknown};
use crate::boxed;
use crate::postgres::rows::channel;
use crate::postgres::{Database, errors};

/// One segment, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentRow {
    /// Channel number from 0; `None` for the mix.
    pub channel: Option<u16>,
    /// Number within the channel, from 0.
    pub index: u32,
    /// Who speaks.
    pub role: Role,
    /// Seconds from the recording's beginning.
    pub start_s: f64,
    /// Seconds from the recording's beginning.
    pub end_s: f64,
    /// Likeliest emotion.
    pub emotion: Emotion,
    /// Its probability.
    pub confidence: f32,
    /// All nine.
    pub scores: Scores,
}

/// Which segments a list holds.
#[derive(Debug, Clone, Default)]
pub struct SegmentFilter {
    /// Channel number; -1 for the mix.
    pub channel: Option<i16>,
    /// Likeliest emotion.
    pub emotion: Option<Emotion>,
    /// After this channel (-1 for the mix) and segment.
    pub after: Option<(i16, u32)>,
}

impl Database {
    /// Segments of a job, by channel and number.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn segments(&self, job: JobId, filter: &SegmentFilter, limit: u32) -> Result<Vec<SegmentRow>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new("SELECT * FROM segments s WHERE s.job_id = ");
        query.push_bind(job.0);
        // With called_at, only one month's partition is read.
        query.push(" AND s.called_at = (SELECT called_at FROM analyses WHERE job_id = ").push_bind(job.0).push(")");
        if let Some(channel) = filter.channel {
            query.push(" AND s.channel = ").push_bind(channel);
        }
        if let Some(emotion) = filter.emotion {
            query.push(" AND s.emotion = ").push_bind(emotion.label());
        }
        if let Some((channel, segment)) = filter.after {
            let segment = i32::try_from(segment).unwrap_or(i32::MAX);
            query.push(" AND (s.channel, s.segment) > (").push_bind(channel).push(", ").push_bind(segment).push(")");
        }
        query.push(" ORDER BY s.channel, s.segment LIMIT ").push_bind(i64::from(limit));
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for SegmentRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (role, emotion): (String, String) = (row.try_get("role")?, row.try_get("emotion")?);
        Ok(Self {
            channel: channel(row.try_get("channel")?),
            index: row.try_get::<i32, _>("segment")?.unsigned_abs(),
            role: Role::from_label(&role).ok_or_else(|| unknown("role"))?,
            start_s: f64::from(row.try_get::<f32, _>("start_s")?),
            end_s: f64::from(row.try_get::<f32, _>("end_s")?),
            emotion: Emotion::from_label(&emotion).ok_or_else(|| unknown("emotion"))?,
            confidence: row.try_get("confidence")?,
            scores: scores(row)?.ok_or_else(|| unknown("score_angry"))?,
        })
    }
}
