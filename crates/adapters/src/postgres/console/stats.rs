//! Counts over a time: of emotions, failures and agreement with reviewers. The questions of `docs/sql-cookbook.md`.

use chrono::{DateTime, Utc};
use domain::{Emotion, Failure};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};

use super::analyses::unknown;
use crate::boxed;
use crate::postgres::rows::count;
use crate::postgres::{Database, errors};

/// Most groups of an answer.
const MOST_GROUPS: i64 = 1000;
/// Characters of call data that `channels` has copies of (migration 0004). Whether a copy of this length is whole, only the
/// recording tells.
const COPIED: usize = 100;

/// Which groups come first, and are left where there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By day or name.
    Key,
    /// Those of whose speech most is negative.
    NegativeFirst,
}

/// Which calls are counted.
#[derive(Debug, Clone)]
pub struct Period {
    /// From this moment on.
    pub from: DateTime<Utc>,
    /// Before this moment.
    pub to: DateTime<Utc>,
    /// Only recordings of this team.
    pub team: Option<String>,
}

/// What calls are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// The day, with the days of this many minutes east of UTC.
    Day(i32),
    /// The team of the agent.
    Team,
    /// The agent.
    Agent,
    /// The likeliest emotion.
    Emotion,
}

/// The calls of one day, team, agent or emotion.
#[derive(Debug, Clone, PartialEq)]
pub struct EmotionCount {
    /// The day like 2025-03-14, the team, the agent or the emotion; `None` for calls without one.
    pub key: Option<String>,
    /// Calls.
    pub calls: u64,
    /// Scored channels of these calls by likeliest emotion, in the order of [`Emotion::ALL`].
    pub emotions: [u64; Emotion::COUNT],
    /// Seconds of speech.
    pub speech_s: f64,
    /// Seconds of speech predicted as a negative emotion.
    pub negative_s: f64,
    /// Mean probability of angry, weighted by seconds; `None` without speech.
    pub angry: Option<f64>,
}

/// Jobs that failed with one code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureCount {
    /// The stable code.
    pub code: String,
    /// Jobs.
    pub failures: u64,
    /// When the latest of them failed.
    pub latest: DateTime<Utc>,
}

/// Reviews with the same two emotions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreementCount {
    /// What the model predicted; `None`: nothing, without speech.
    pub model: Option<Emotion>,
    /// The emotion by the reviewer.
    pub reviewer: Emotion,
    /// Reviews.
    pub reviews: u64,
}

impl Database {
    /// Calls by day, team, agent or emotion: newest analyses and scored channels only.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn emotion_counts(
        &self,
        period: &Period,
        by: Grouping,
        order: Order,
    ) -> Result<Vec<EmotionCount>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new("SELECT ");
        match by {
            Grouping::Day(minutes) => {
                query.push("to_char((c.called_at AT TIME ZONE 'UTC') + make_interval(mins => ");
                query.push_bind(minutes).push("), 'YYYY-MM-DD')");
            }
            Grouping::Team => drop(query.push(whole("team"))),
            Grouping::Agent => drop(query.push(whole("agent"))),
            Grouping::Emotion => drop(query.push("c.emotion::text")),
        }
        query.push(" AS key, count(DISTINCT c.job_id) AS calls");
        for emotion in Emotion::ALL {
            let label = emotion.label();
            query.push(format!(", count(*) FILTER (WHERE c.emotion = '{label}') AS count_{label}"));
        }
        query.push(
            ", sum(c.speech_s)::float8 AS speech_s, sum(c.negative_s)::float8 AS negative_s,
               (sum(c.score_angry * c.speech_s) / nullif(sum(c.speech_s), 0))::float8 AS angry
            FROM channels c WHERE c.latest AND c.scored AND c.emotion IS NOT NULL AND c.called_at >= ",
        );
        query.push_bind(period.from).push(" AND c.called_at < ").push_bind(period.to);
        push_copied_team(&mut query, period);
        query.push(match order {
            Order::Key => " GROUP BY 1 ORDER BY 1 NULLS LAST LIMIT ",
            Order::NegativeFirst => {
                " GROUP BY 1 ORDER BY sum(c.negative_s) / nullif(sum(c.speech_s), 0) DESC NULLS LAST, 1 LIMIT "
            }
        });
        query.push_bind(MOST_GROUPS);
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Failed jobs by code, most frequent first, by the time at which they failed.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn failure_counts(&self, period: &Period) -> Result<Vec<FailureCount>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT a.failure_code, count(*) AS failures, max(a.finished_at) AS latest
            FROM analyses a JOIN recordings r ON r.id = a.recording_id
            WHERE a.status = 'failed' AND a.finished_at >= ",
        );
        query.push_bind(period.from).push(" AND a.finished_at < ").push_bind(period.to);
        push_team(&mut query, "r.team", period);
        query.push(" GROUP BY a.failure_code ORDER BY failures DESC, a.failure_code LIMIT ").push_bind(MOST_GROUPS);
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Reviews by what the model predicted and what the reviewer named, by the time of the review.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn agreement_counts(&self, period: &Period) -> Result<Vec<AgreementCount>, Failure> {
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT v.model_emotion, v.reviewer_emotion, count(*) AS reviews
            FROM model_vs_reviewer v WHERE v.reviewed_at >= ",
        );
        query.push_bind(period.from).push(" AND v.reviewed_at < ").push_bind(period.to);
        push_team(&mut query, "v.team", period);
        query.push(" GROUP BY v.model_emotion, v.reviewer_emotion ORDER BY v.model_emotion, v.reviewer_emotion");
        query.build_query_as().fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

fn push_team(query: &mut QueryBuilder<Postgres>, column: &'static str, period: &Period) {
    if let Some(team) = &period.team {
        query.push(" AND ").push(column).push(" = ").push_bind(team.clone());
    }
}

/// The same for the copy in `channels`, by which its index goes.
fn push_copied_team(query: &mut QueryBuilder<Postgres>, period: &Period) {
    let Some(team) = &period.team else { return };
    query.push(" AND c.team = left(").push_bind(team.clone()).push(format!(", {COPIED})"));
    if team.chars().count() >= COPIED {
        query.push(" AND EXISTS (SELECT FROM recordings r WHERE r.id = c.recording_id AND r.team = ");
        query.push_bind(team.clone()).push(")");
    }
}

/// A field of the call data as a whole.
fn whole(field: &str) -> String {
    format!(
        "CASE WHEN length(c.{field}) >= {COPIED} THEN (SELECT r.{field} FROM recordings r WHERE r.id = c.recording_id)
              ELSE c.{field} END"
    )
}

impl FromRow<'_, PgRow> for EmotionCount {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut emotions = [0; Emotion::COUNT];
        for emotion in Emotion::ALL {
            emotions[emotion.index()] = count(row, &format!("count_{}", emotion.label()))?;
        }
        Ok(Self {
            key: row.try_get("key")?,
            calls: count(row, "calls")?,
            emotions,
            speech_s: row.try_get::<Option<f64>, _>("speech_s")?.unwrap_or_default(),
            negative_s: row.try_get::<Option<f64>, _>("negative_s")?.unwrap_or_default(),
            angry: row.try_get("angry")?,
        })
    }
}

impl FromRow<'_, PgRow> for FailureCount {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            code: row.try_get("failure_code")?,
            failures: count(row, "failures")?,
            latest: row.try_get("latest")?,
        })
    }
}

impl FromRow<'_, PgRow> for AgreementCount {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (model, reviewer): (Option<String>, String) =
            (row.try_get("model_emotion")?, row.try_get("reviewer_emotion")?);
        Ok(Self {
            model: model.as_deref().and_then(Emotion::from_label),
            reviewer: Emotion::from_label(&reviewer).ok_or_else(|| unknown("reviewer_emotion"))?,
            reviews: count(row, "reviews")?,
        })
    }
}
