//! One rule.

use std::time::Duration;

use super::{CallField, Condition, Finding, Subject};
use crate::Role;

crate::label_enum! {
    /// Severity of a rule, in order: `Info < Warning < Critical`.
    pub enum Severity: "severity" {
        /// For information.
        Info = "info",
        /// To be looked at today.
        Warning = "warning",
        /// To be looked at now.
        Critical = "critical",
    }
}

impl Severity {
    /// Chinese name, for messages to people.
    pub fn chinese(self) -> &'static str {
        match self {
            Self::Info => "提示",
            Self::Warning => "警告",
            Self::Critical => "严重",
        }
    }
}

crate::label_enum! {
    /// What alerts are grouped by for the cooldown.
    pub enum Grouping: "grouping" {
        /// The call; the recording if the call has no id.
        Call = "call",
        /// The customer.
        Customer = "customer",
        /// The agent.
        Agent = "agent",
        /// The agent's team.
        Team = "team",
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
    /// What alerts are grouped by for the cooldown.
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
