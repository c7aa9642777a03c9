//! Reviews page by page.

use chrono::{DateTime, Utc};
use domain::{Emotion, Failure, JobId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::analyses::unknown;
use super::filter::Cursor;
use crate::boxed;
use crate::postgres::rows::channel;
use crate::postgres::{Database, errors};

/// A person's verdict beside the model's prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewRow {
    /// Identity.
    pub id: i64,
    /// The analysis.
    pub job_id: JobId,
    /// `None`: the call as a whole. `Some(None)`: the mix of all channels. Else the channel's number from 0.
    pub channel: Option<Option<u16>>,
    /// The segment's number; `None`: the channel, or the call, as a whole.
    pub segment: Option<u32>,
    /// Name of the reviewer.
    pub reviewer: String,
    /// When.
    pub reviewed_at: DateTime<Utc>,
    /// What the model predicted when the verdict was given.
    pub model_emotion: Option<Emotion>,
    /// The emotion by this person.
    pub emotion: Emotion,
    /// A remark.
    pub note: String,
    /// The call's own number.
    pub call_id: Option<String>,
    /// Team of the agent.
    pub team: Option<String>,
}

/// Which reviews a list holds. Every field narrows it.
#[derive(Debug, Clone, Default)]
pub struct ReviewFilter {
    /// Given from this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Given before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Of this analysis.
    pub job: Option<JobId>,
    /// By this person.
    pub reviewer: Option<String>,
    /// Of recordings of this team.
    pub team: Option<String>,
}

impl Database {
    /// A page of reviews, newest first.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn reviews(
        &self,
        filter: &ReviewFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<ReviewRow>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT v.review_id, v.job_id, v.channel, v.segment, v.reviewer, v.reviewed_at, v.model_emotion,
                v.reviewer_emotion, v.note, v.call_id, v.team
            FROM model_vs_reviewer v WHERE true",
        );
        if let Some(from) = filter.from {
            query.push(" AND v.reviewed_at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            query.push(" AND v.reviewed_at < ").push_bind(to);
        }
        if let Some(job) = filter.job {
            query.push(" AND v.job_id = ").push_bind(job.0);
        }
        for (column, value) in [("v.reviewer", &filter.reviewer), ("v.team", &filter.team)] {
            if let Some(value) = value {
                query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
            }
        }
        if let Some(after) = after {
            let id = i64::try_from(after.id.as_u128()).unwrap_or(i64::MAX);
            query.push(" AND (v.reviewed_at, v.review_id) < (").push_bind(after.at).push(", ").push_bind(id).push(")");
        }
        query.push(" ORDER BY v.reviewed_at DESC, v.review_id DESC LIMIT ").push_bind(i64::from(limit));
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

impl ReviewRow {
    /// Its identity as a cursor has it.
    pub fn place(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.id.unsigned_abs()))
    }
}

impl FromRow<'_, PgRow> for ReviewRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (model, emotion): (Option<String>, String) =
            (row.try_get("model_emotion")?, row.try_get("reviewer_emotion")?);
        Ok(Self {
            id: row.try_get("review_id")?,
            job_id: JobId(row.try_get("job_id")?),
            channel: row.try_get::<Option<i16>, _>("channel")?.map(channel),
            segment: row.try_get::<Option<i32>, _>("segment")?.map(i32::unsigned_abs),
            reviewer: row.try_get("reviewer")?,
            reviewed_at: row.try_get("reviewed_at")?,
            model_emotion: model.as_deref().and_then(Emotion::from_label),
            emotion: Emotion::from_label(&emotion).ok_or_else(|| unknown("reviewer_emotion"))?,
            note: row.try_get("note")?,
            call_id: row.try_get("call_id")?,
            team: row.try_get("team")?,
        })
    }
}
