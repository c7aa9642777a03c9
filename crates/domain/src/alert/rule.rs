//! One rule.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::notice::TellOf;
use super::{Condition, Finding, Subject};
use crate::Role;

/// How much it matters. In order: `Info < Warning < Critical`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at today.
    Warning,
    /// Worth looking at now.
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

    /// Chinese name, for people.
    pub fn chinese(self) -> &'static str {
        match self {
            Self::Info => "提示",
            Self::Warning => "警告",
            Self::Critical => "严重",
        }
    }

    /// The severity of this name.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.label() == label)
    }
}

/// What the cool-down counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// The call; without a call id, the recording.
    Call,
    /// Who called.
    Customer,
    /// Who answered.
    Agent,
    /// The agent's team.
    Team,
}

impl Grouping {
    /// All of them.
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

/// A rule of `config/alerts.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique; lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// How much it matters.
    pub severity: Severity,
    /// What must hold.
    pub when: Condition,
    /// What the cool-down counts by.
    pub group_by: Grouping,
    /// After somebody was told, nobody is told again of the same group for this long.
    pub cooldown: Duration,
    /// The matter is closed when nothing of its group fired for this long.
    pub resolve_after: Option<Duration>,
    /// Nobody is told of calls that began longer ago than this when they are heard.
    pub max_age: Option<Duration>,
    /// Names of the destinations; `None`: all.
    pub notify: Option<Vec<String>>,
    /// Call data that messages carry.
    pub tell: Vec<TellOf>,
}

impl Rule {
    /// Whether the rule holds of this call, and where.
    pub fn evaluate(&self, subject: Subject<'_>) -> Option<Finding> {
        let evidence = self.when.holds(subject)?;
        Some(Finding { evidence })
    }

    /// The roles that it asks for by name: on a channel that is not scored it never holds.
    pub fn roles(&self) -> Vec<Role> {
        self.when.roles()
    }

    /// What the cool-down counts by, for this call: `customer:c-17`. A call that lacks the datum
    /// stands for itself, lest all unknown customers be one. `recording` identifies a call without id.
    pub fn group_key(&self, subject: Subject<'_>, recording: &str) -> String {
        let call = subject.call;
        let by_call = || {
            let id = call.call_id.as_ref();
            id.map_or_else(|| format!("recording:{recording}"), |id| format!("call:{id}"))
        };
        let datum = match self.group_by {
            Grouping::Call => None,
            Grouping::Customer => call.customer.as_ref(),
            Grouping::Agent => call.agent.as_ref(),
            Grouping::Team => call.team.as_ref(),
        };
        datum.map_or_else(by_call, |value| format!("{}:{value}", self.group_by.label()))
    }
}
