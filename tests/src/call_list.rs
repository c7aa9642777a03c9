//! A day's work of a call centre, made up: a dozen calls of three teams.

use adapters::boxed;
use adapters::postgres::Database;
use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use domain::Emotion::{Angry, Fearful, Happy, Neutral, Sad, Surprised};
use domain::alert::Rulebook;
use domain::{Emotion, JobId};

use crate::calls::{Call, batch};

const RULES: &str = r#"
[[rule]]
name = "angry"
severity = "critical"
when = { role = "customer", emotion = "angry", score = 0.6, in_a_row = 2 }
"#;

/// Registers a call and records its result, with the alert of two angry segments in a row.
///
/// # Errors
/// When the database refuses.
#[boxed]
pub async fn record(database: &Database, call: &Call) -> Result<JobId> {
    let rules: Rulebook = settings::alert_file::parse(RULES)?;
    database.register(&batch(&call.batch), std::slice::from_ref(&call.job()), false).await?;
    call.record(database, &rules).await?;
    Ok(call.job().job_id)
}

/// A call that began at this time: key, team, agent, customer, and its segments of twelve seconds.
pub fn call(at: DateTime<Utc>, who: [&str; 4], segments: &[(Emotion, f32)]) -> Call {
    let timeline: Vec<_> = segments.iter().map(|(emotion, probability)| (12.0, *emotion, *probability)).collect();
    let [key, team, agent, customer] = who;
    let mut call = Call::new(key).by(team, agent, customer, "2025-03-14T09:00:00Z").with_timeline(&timeline);
    call.data.started_at = Some(at);
    call
}

/// A call: hours ago, who, and its segments.
type Begun<'a> = (i64, [&'a str; 4], &'a [(Emotion, f32)]);

/// Records a dozen calls of the last days, newest first.
///
/// # Errors
/// When the database refuses.
#[boxed]
pub async fn dozen(database: &Database) -> Result<Vec<Call>> {
    let worse = [(Neutral, 0.9), (Neutral, 0.8), (Sad, 0.6), (Angry, 0.7), (Angry, 0.9), (Angry, 0.8)];
    let better = [(Angry, 0.7), (Sad, 0.8), (Neutral, 0.6), (Neutral, 0.7), (Happy, 0.6), (Happy, 0.9)];
    let calm = [(Neutral, 0.9), (Neutral, 0.7), (Neutral, 0.8), (Neutral, 0.9)];
    let glad = [(Neutral, 0.6), (Happy, 0.7), (Happy, 0.9), (Happy, 0.8)];
    let sad = [(Sad, 0.6), (Sad, 0.7), (Sad, 0.9), (Sad, 0.8), (Neutral, 0.5)];
    let afraid = [(Neutral, 0.6), (Fearful, 0.7), (Fearful, 0.6), (Surprised, 0.6)];
    let rows: [Begun<'_>; 12] = [
        (2, ["20261127-0917-refund.wav", "7", "Agent 3", "c-1042"], &worse),
        (3, ["20261127-0850-invoice.wav", "7", "Agent 1", "c-0077"], &better),
        (5, ["20261127-0702-开户咨询.wav", "8", "坐席 12", "客户 5521"], &glad),
        (21, ["20261126-1544.wav", "8", "坐席 12", "c-1042"], &worse[..5]),
        (24, ["20261126-1230-delivery.wav", "7", "Agent 3", "c-0313"], &calm),
        (26, ["20261126-1011-delivery.wav", "sales", "Agent 9", "c-0400"], &glad),
        (48, ["20261125-1205-cancel.wav", "7", "Agent 1", "c-0077"], &sad),
        (52, ["20261125-0844.mp3", "8", "坐席 4", "客户 118"], &calm),
        (73, ["20261124-1112-fraud.wav", "8", "坐席 4", "客户 902"], &afraid),
        (98, ["20261123-0959.wav", "sales", "Agent 9", "c-0777"], &glad[..3]),
        (170, ["20261120-1028-outage.wav", "7", "Agent 3", "c-0001"], &worse[2..]),
        (300, ["20261115-silence.wav", "sales", "Agent 2", "c-0815"], &[]),
    ];
    let (now, mut calls) = (Utc::now(), Vec::new());
    for (hours, who, segments) in rows {
        calls.push(call(now - TimeDelta::hours(hours), who, segments));
    }
    for call in &calls {
        record(database, call).await?;
    }
    let review = calls[1].review();
    database.import_reviews(&[review], adapters::postgres::Import::Whole).await?;
    Ok(calls)
}
