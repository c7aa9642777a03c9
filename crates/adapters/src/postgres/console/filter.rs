//! Conditions and cursors of lists.

use chrono::{DateTime, Utc};
use domain::{BatchId, Emotion};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::postgres::Status;

/// A place in a list that is ordered by time, newest first: the next page begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Time of the last row of the page before.
    pub at: DateTime<Utc>,
    /// Its identity, for rows of the same time.
    pub id: Uuid,
}

/// Which analyses a list holds. Every field narrows it.
#[derive(Debug, Clone, Default)]
pub struct AnalysisFilter {
    /// `called_at` from this moment on.
    pub from: Option<DateTime<Utc>>,
    /// `called_at` before this moment.
    pub to: Option<DateTime<Utc>>,
    /// State of the job.
    pub status: Option<Status>,
    /// Likeliest emotion of the recording.
    pub emotion: Option<Emotion>,
    /// Batch.
    pub batch: Option<BatchId>,
    /// Recording.
    pub recording: Option<Uuid>,
    /// Name of the model.
    pub model: Option<String>,
    /// The call's own number.
    pub call_id: Option<String>,
    /// Team of the agent.
    pub team: Option<String>,
    /// Agent.
    pub agent: Option<String>,
    /// Customer.
    pub customer: Option<String>,
    /// Only those on which an alert fired.
    pub alerts: bool,
    /// Only the newest finished analysis of each recording.
    pub latest: bool,
}

impl AnalysisFilter {
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(from) = self.from {
            query.push(" AND a.called_at >= ").push_bind(from);
        }
        if let Some(to) = self.to {
            query.push(" AND a.called_at < ").push_bind(to);
        }
        if let Some(status) = self.status {
            query.push(" AND a.status = ").push_bind(status.label());
        }
        if let Some(emotion) = self.emotion {
            query.push(" AND a.emotion = ").push_bind(emotion.label());
        }
        if let Some(batch) = self.batch {
            query.push(" AND a.batch_id = ").push_bind(batch.0);
        }
        if let Some(recording) = self.recording {
            query.push(" AND a.recording_id = ").push_bind(recording);
        }
        let texts = [
            ("a.model_name", &self.model),
            ("r.call_id", &self.call_id),
            ("r.team", &self.team),
            ("r.agent", &self.agent),
            ("r.customer", &self.customer),
        ];
        push_texts(query, texts);
        if self.alerts {
            query.push(" AND EXISTS (SELECT FROM alerts f WHERE f.job_id = a.job_id)");
        }
        if self.latest {
            query.push(
                " AND a.status = 'done' AND EXISTS (SELECT FROM channels c WHERE c.job_id = a.job_id AND c.latest)",
            );
        }
    }
}

/// Which recordings a list holds. Every field narrows it.
#[derive(Debug, Clone, Default)]
pub struct RecordingFilter {
    /// Registered from this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Registered before this moment.
    pub to: Option<DateTime<Utc>>,
    /// The call's own number.
    pub call_id: Option<String>,
    /// Team of the agent.
    pub team: Option<String>,
    /// Agent.
    pub agent: Option<String>,
    /// Customer.
    pub customer: Option<String>,
}

impl RecordingFilter {
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(from) = self.from {
            query.push(" AND r.created_at >= ").push_bind(from);
        }
        if let Some(to) = self.to {
            query.push(" AND r.created_at < ").push_bind(to);
        }
        let texts = [
            ("r.call_id", &self.call_id),
            ("r.team", &self.team),
            ("r.agent", &self.agent),
            ("r.customer", &self.customer),
        ];
        push_texts(query, texts);
    }
}

fn push_texts<const N: usize>(query: &mut QueryBuilder<Postgres>, texts: [(&'static str, &Option<String>); N]) {
    for (column, value) in texts {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
}
