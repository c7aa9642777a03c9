//! Recordings and what is known of their calls.

use adapters::postgres::console::{RecordingFacts, RecordingRow};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// A recording and what is known of its call.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Recording {
    /// Identity.
    pub id: Uuid,
    /// Name of the file.
    pub name: String,
    /// The call's own number.
    pub call_id: Option<String>,
    /// Agent.
    pub agent: Option<String>,
    /// Team of the agent.
    pub team: Option<String>,
    /// Customer.
    pub customer: Option<String>,
    /// When the call began.
    pub started_at: Option<DateTime<Utc>>,
    /// Everything else that is known of the call.
    pub attributes: BTreeMap<String, String>,
    /// Container, by content; null until analysed, like the next five.
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

/// The last part of a key.
pub(crate) fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

impl From<RecordingFacts> for Recording {
    fn from(facts: RecordingFacts) -> Self {
        Self {
            id: facts.id,
            name: file_name(&facts.key).to_owned(),
            call_id: facts.call.call_id,
            agent: facts.call.agent,
            team: facts.call.team,
            customer: facts.call.customer,
            started_at: facts.call.started_at,
            attributes: facts.call.attributes,
            container: facts.container,
            codec: facts.codec,
            sample_rate: facts.sample_rate,
            channels: facts.channels,
            duration_s: facts.duration_s,
            bytes: facts.bytes,
        }
    }
}

impl From<RecordingRow> for Recording {
    fn from(row: RecordingRow) -> Self {
        row.facts.into()
    }
}
