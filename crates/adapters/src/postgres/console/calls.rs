//! Calls: the newest analysis of each recording, with the course of its channels and the number of its alerts.

use domain::{Emotion, Failure, JobId, Role};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use std::collections::HashMap;
use uuid::Uuid;

use super::analyses::{AnalysisRow, scores};
use super::filter::{AnalysisFilter, Cursor};
use crate::boxed;
use crate::postgres::rows::{channel, count};
use crate::postgres::{Database, errors};

const ALERTS: &str = "SELECT job_id, count(*) AS rows FROM alerts WHERE job_id = ANY($1) GROUP BY job_id";
/// Of all analyses of the recording: a call that was reviewed stays so when it is analysed again.
const REVIEWS: &str = "SELECT a.job_id, count(*) AS rows
    FROM analyses a JOIN analyses o ON o.recording_id = a.recording_id JOIN reviews v ON v.job_id = o.job_id
    WHERE a.job_id = ANY($1) GROUP BY a.job_id";

/// A call, as an inspector lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRow {
    /// Its newest analysis.
    pub analysis: AnalysisRow,
    /// The scored channels, by number.
    pub channels: Vec<ChannelCourse>,
    /// Alerts that fired on it.
    pub alerts: u64,
    /// Reviews of it, its channels and segments.
    pub reviews: u64,
}

/// How a channel's emotions went, from the first segment to the last.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelCourse {
    /// Number from 0; `None` for the mix.
    pub channel: Option<u16>,
    /// Who speaks.
    pub role: Role,
    /// Likeliest emotion; `None` without speech.
    pub emotion: Option<Emotion>,
    /// Its probability; `None` without speech.
    pub confidence: Option<f32>,
    /// Seconds of speech.
    pub speech_s: f32,
    /// Seconds of speech predicted as angry.
    pub angry_s: f32,
    /// Seconds of speech predicted as a negative emotion.
    pub negative_s: f32,
    /// Highest probability of angry in a segment; `None` without speech.
    pub peak_angry: Option<f32>,
    /// The second at which that segment begins.
    pub peak_angry_at_s: Option<f32>,
    /// Mean probability of the negative emotions in the first third; `None` with too few segments.
    pub first_third: Option<f32>,
    /// The same in the last third.
    pub last_third: Option<f32>,
    /// The second at which the call turned negative; `None` when it did not.
    pub turned_at_s: Option<f32>,
}

impl Database {
    /// A page of calls, newest first: at most `limit` rows after `after`. The filter's `latest` is implied.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn calls(
        &self,
        filter: &AnalysisFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<CallRow>, Failure> {
        let filter = AnalysisFilter { latest: true, ..filter.clone() };
        let analyses = self.analyses(&filter, after, limit).await?;
        let jobs: Vec<Uuid> = analyses.iter().map(|row| row.job_id.0).collect();
        let mut courses = self.courses(&jobs).await?;
        let alerts = self.numbers(ALERTS, &jobs).await?;
        let reviews = self.numbers(REVIEWS, &jobs).await?;
        Ok(analyses
            .into_iter()
            .map(|analysis| {
                let channels = courses.remove(&analysis.job_id).unwrap_or_default();
                let of = |numbers: &HashMap<JobId, u64>| numbers.get(&analysis.job_id).copied().unwrap_or_default();
                let (alerts, reviews) = (of(&alerts), of(&reviews));
                CallRow { analysis, channels, alerts, reviews }
            })
            .collect())
    }

    async fn courses(&self, jobs: &[Uuid]) -> Result<HashMap<JobId, Vec<ChannelCourse>>, Failure> {
        const COURSES: &str = "SELECT job_id, channel, role, emotion, score_angry, score_disgusted, score_fearful,
                score_happy, score_neutral, score_other, score_sad, score_surprised, score_unknown, speech_s, angry_s,
                negative_s, peak_angry, peak_angry_at_s, first_third, last_third, turned_at_s
            FROM channels WHERE job_id = ANY($1) AND scored ORDER BY job_id, channel";
        let rows = sqlx::query(COURSES).bind(jobs).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        let mut courses: HashMap<JobId, Vec<ChannelCourse>> = HashMap::new();
        for row in &rows {
            let read = || Ok((JobId(row.try_get("job_id")?), ChannelCourse::from_row(row)?));
            let (job, course) = read().map_err(|e: sqlx::Error| errors::failure(&e))?;
            courses.entry(job).or_default().push(course);
        }
        Ok(courses)
    }

    /// What a statement counts for each of these jobs.
    async fn numbers(&self, statement: &'static str, jobs: &[Uuid]) -> Result<HashMap<JobId, u64>, Failure> {
        let rows = sqlx::query(statement).bind(jobs).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        let read = |row: &PgRow| Ok((JobId(row.try_get("job_id")?), count(row, "rows")?));
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(|e| errors::failure(&e))
    }
}

impl FromRow<'_, PgRow> for ChannelCourse {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (role, emotion): (String, Option<String>) = (row.try_get("role")?, row.try_get("emotion")?);
        let emotion = emotion.as_deref().and_then(Emotion::from_label);
        Ok(Self {
            channel: channel(row.try_get("channel")?),
            role: Role::from_label(&role).unwrap_or(Role::Speaker), // of a newer program
            emotion,
            confidence: scores(row)?.zip(emotion).map(|(scores, emotion)| scores.of(emotion)),
            speech_s: row.try_get("speech_s")?,
            angry_s: row.try_get("angry_s")?,
            negative_s: row.try_get("negative_s")?,
            peak_angry: row.try_get("peak_angry")?,
            peak_angry_at_s: row.try_get("peak_angry_at_s")?,
            first_third: row.try_get("first_third")?,
            last_third: row.try_get("last_third")?,
            turned_at_s: row.try_get("turned_at_s")?,
        })
    }
}
