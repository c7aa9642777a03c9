//! One rule.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{CallField, Condition, Finding, Subject};
use crate::Role;

/// Severity of a rule, in order: `Info < Warning < Critical`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Info,
    /// To be looked at today.
    Warning,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Lower-case name, as in routing keys and the database.
    pub fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Chinese name, for messages to people.
    pub fn chinese(self) -> &'static str {
        match self {
            Self::Info => "提示",
            Self::Warning => "警告",
            Self::Critical => "严重",
        }
    }

    /// The severity with this name.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.label() == label)
    }
}

/// What alerts are grouped by for the cool-down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// The call; the recording if the call has no id.
    Call,
    /// The customer.
    Customer,
    /// The agent.
    Agent,
    /// The agent's team.
    Team,
}

impl Grouping {
    /// All groupings.
    pub const ALL: [Self; 4] = [Self::Call, Self::Customer, Self::Agent, Self::Team];

    /// Lower-case name, as in rules and group keys.
    pub fn label(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Customer => "customer",
            Self::Agent => "agent",
            Self::Team => "team",
        }
    }
}

/// A rule of the alert file.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique; lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Its severity.
    pub severity: Severity,
    /// The condition.
    pub when: Condition,
    /// What alerts are grouped by for the cool-down.
    pub group_by: Grouping,
    /// After a message, no other of the same group is sent for this long.
    pub cooldown: Duration,
    /// A group is resolved when it had no alert for this long.
    pub resolve_after: Option<Duration>,
    /// No message is sent for calls that began longer ago than this when they are analysed.
    pub max_age: Option<Duration>,
    /// Names of the destinations; `None`: all.
    pub notify: Option<Vec<String>>,
    /// Call data that messages include.
    pub include: Vec<CallField>,
}

impl Rule {
    /// Whether the rule holds for this call, with the evidence.
    pub fn evaluate(&self, subject: Subject<'_>) -> Option<Finding> {
        let evidence = self.when.evaluate(subject)?;
        Some(Finding { evidence })
    }

    /// The roles that it names: on a channel that is not scored it never holds.
    pub fn roles(&self) -> Vec<Role> {
        self.when.roles()
    }

    /// The group of this call, like `customer:c-17`. A call that lacks the field is a group of its own,
    /// so that unknown customers are not one group. `recording` identifies a call without id.
    pub fn group_key(&self, subject: Subject<'_>, recording: &str) -> String {
        let call = subject.call;
        let by_call = || {
            let id = call.call_id.as_ref();
            id.map_or_else(|| format!("recording:{recording}"), |id| format!("call:{id}"))
        };
        let value = match self.group_by {
            Grouping::Call => None,
            Grouping::Customer => call.customer.as_ref(),
            Grouping::Agent => call.agent.as_ref(),
            Grouping::Team => call.team.as_ref(),
        };
        value.map_or_else(by_call, |value| format!("{}:{value}", self.group_by.label()))
    }
}
