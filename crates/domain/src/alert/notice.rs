//! What is said of an alert: the JSON that the outbox keeps, the exchange carries and webhooks get.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{Evidence, Severity};
use crate::{CallData, JobId};

/// Why it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The first of its group.
    Fired,
    /// Once more, after the cool-down.
    Again,
    /// Nothing of its group fired for a while.
    Resolved,
}

impl Kind {
    /// Lower-case name, as in the database.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Again => "again",
            Self::Resolved => "resolved",
        }
    }
}

/// A datum of the call that messages may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TellOf {
    /// The call's own number.
    CallId,
    /// Who answered.
    Agent,
    /// The agent's team.
    Team,
    /// Who called.
    Customer,
    /// When the call began.
    StartedAt,
    /// A free attribute.
    Attribute(String),
}

impl TellOf {
    /// Its name in rules and messages.
    pub fn label(&self) -> String {
        match self {
            Self::CallId => "call_id".into(),
            Self::Agent => "agent".into(),
            Self::Team => "team".into(),
            Self::Customer => "customer".into(),
            Self::StartedAt => "started_at".into(),
            Self::Attribute(name) => format!("attributes.{name}"),
        }
    }

    /// The datum of this name.
    pub fn from_label(label: &str) -> Option<Self> {
        Some(match label {
            "call_id" => Self::CallId,
            "agent" => Self::Agent,
            "team" => Self::Team,
            "customer" => Self::Customer,
            "started_at" => Self::StartedAt,
            other => Self::Attribute(other.strip_prefix("attributes.").filter(|name| !name.is_empty())?.to_owned()),
        })
    }

    fn of(&self, call: &CallData) -> Option<String> {
        match self {
            Self::CallId => call.call_id.clone(),
            Self::Agent => call.agent.clone(),
            Self::Team => call.team.clone(),
            Self::Customer => call.customer.clone(),
            Self::StartedAt => call.started_at.map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
            Self::Attribute(name) => call.attributes.get(name).cloned(),
        }
    }

    /// Those of the call's data that may be told, by name.
    pub fn pick(wanted: &[Self], call: &CallData) -> BTreeMap<String, String> {
        wanted.iter().filter_map(|datum| Some((datum.label(), datum.of(call)?))).collect()
    }
}

/// One alert, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Number of the alert; with `kind`, what a receiver recognises a repetition by.
    pub id: i64,
    /// Why it is said.
    pub kind: Kind,
    /// Name of the rule.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// When the rule fired or the matter was resolved.
    pub at: DateTime<Utc>,
    /// The job, and so the analysis.
    pub job_id: JobId,
    /// Data of the call, those that the rule allows.
    pub call: BTreeMap<String, String>,
    /// What was heard where; the first entry is where to listen.
    pub evidence: Vec<Evidence>,
    /// Alerts of the same rule and group that nobody was told of since the last message.
    pub held_back: u64,
}

impl Notice {
    /// The second to listen from.
    pub fn second(&self) -> Option<f64> {
        self.evidence.first().map(|e| e.start_s)
    }
}
