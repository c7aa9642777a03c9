//! The message of an alert: the JSON that the outbox stores, the exchange carries and webhooks receive.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{Evidence, Severity};
use crate::JobId;

crate::label_enum! {
    /// Why a message is sent.
    pub enum MessageKind: "message kind" {
        /// The first alert of its group.
        Fired = "fired",
        /// Another alert of the group, after the cooldown.
        Again = "again",
        /// No alert of the group for the rule's `resolve_after`.
        Resolved = "resolved",
    }
}

/// The message of one alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertMessage {
    /// Id of the alert. Receivers recognise a repeated message by `id` and `kind`.
    pub id: i64,
    /// Why it is sent.
    pub kind: MessageKind,
    /// Name of the rule.
    pub rule: String,
    /// Severity of the rule.
    pub severity: Severity,
    /// When the rule fired or its group was resolved.
    pub at: DateTime<Utc>,
    /// The job, and so the analysis.
    pub job_id: JobId,
    /// Call data: the fields that the rule includes.
    pub call: BTreeMap<String, String>,
    /// The evidence; a link leads to the first entry.
    pub evidence: Vec<Evidence>,
    /// Alerts of the same rule and group since the last message, for which none was sent.
    pub held_back: u64,
}

impl AlertMessage {
    /// Seconds from the beginning of the recording at which the evidence begins.
    pub fn start_s(&self) -> Option<f64> {
        self.evidence.first().map(|e| e.start_s)
    }
}
