//! The alerts of a call.

use chrono::{DateTime, Utc};
use domain::alert::{Evidence, Severity};
use domain::{Failure, JobId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::boxed;
use crate::postgres::rows::channel;
use crate::postgres::{Database, errors};

/// Most alerts of a call: there is one for each rule.
const MOST_ALERTS: i64 = 50;

/// A rule that fired on a call.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// Name of the rule.
    pub rule: String,
    /// Its severity.
    pub severity: Severity,
    /// Where the rule matched: `Some(None)` is the mix; `None`: the call as a whole.
    pub channel: Option<Option<u16>>,
    /// The segment's number within the channel.
    pub segment: Option<u32>,
    /// The second at which it begins.
    pub start_s: Option<f64>,
    /// Why the rule matched; empty when it only tests call data.
    pub evidence: Vec<Evidence>,
    /// When it fired.
    pub fired_at: DateTime<Utc>,
}

impl Database {
    /// The alerts of an analysis, most severe first.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn alerts_on(&self, job: JobId) -> Result<Vec<AlertRow>, Failure> {
        const ALERTS: &str = "SELECT rule, severity, channel, segment, start_s, evidence, fired_at
            FROM alerts WHERE job_id = $1 ORDER BY fired_at DESC, id DESC LIMIT $2";
        let rows = sqlx::query_as(ALERTS).bind(job.0).bind(MOST_ALERTS).fetch_all(self.pool()).await;
        let mut alerts: Vec<AlertRow> = rows.map_err(|e| errors::failure(&e))?;
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
        Ok(alerts)
    }
}

impl FromRow<'_, PgRow> for AlertRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (severity, evidence): (String, Value) = (row.try_get("severity")?, row.try_get("evidence")?);
        Ok(Self {
            rule: row.try_get("rule")?,
            // What a newer program wrote is shown all the same.
            severity: Severity::from_label(&severity).unwrap_or(Severity::Warning),
            channel: row.try_get::<Option<i16>, _>("channel")?.map(channel),
            segment: row.try_get::<Option<i32>, _>("segment")?.map(i32::unsigned_abs),
            start_s: row.try_get::<Option<f32>, _>("start_s")?.map(f64::from),
            evidence: serde_json::from_value(evidence).unwrap_or_default(),
            fired_at: row.try_get("fired_at")?,
        })
    }
}
