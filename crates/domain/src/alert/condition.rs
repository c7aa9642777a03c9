//! What must hold for a rule to fire.

use super::Subject;
use super::evidence::Evidence;
use super::heard::Heard;
use crate::Role;

/// A condition; conditions nest.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Every one of them.
    All(Vec<Condition>),
    /// At least one of them.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// Somebody is heard as something.
    Heard(Heard),
    /// Somebody speaks at least so long.
    MinSpeech {
        /// Who; `None`: all who are scored, together.
        role: Option<Role>,
        /// Seconds.
        seconds: f64,
    },
    /// The call's data has one of these values.
    Data {
        /// Which datum.
        field: DataField,
        /// Any of these.
        values: Vec<String>,
    },
}

/// A datum of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataField {
    /// The call's own number.
    CallId,
    /// Who answered.
    Agent,
    /// The agent's team.
    Team,
    /// Who called.
    Customer,
    /// A free attribute.
    Attribute(String),
}

impl Condition {
    /// `Some` when it holds, with the evidence from speech, in the order of the conditions.
    pub(super) fn holds(&self, subject: Subject<'_>) -> Option<Vec<Evidence>> {
        let plain = |holds: bool| holds.then(Vec::new);
        match self {
            Self::All(parts) => {
                let held: Option<Vec<_>> = parts.iter().map(|part| part.holds(subject)).collect();
                held.map(|evidence| evidence.into_iter().flatten().collect())
            }
            Self::Any(parts) => {
                let held: Vec<_> = parts.iter().filter_map(|part| part.holds(subject)).collect();
                (!held.is_empty()).then(|| held.into_iter().flatten().collect())
            }
            Self::Not(part) => plain(part.holds(subject).is_none()),
            Self::Heard(heard) => heard.on(subject.channels).map(|evidence| vec![evidence]),
            Self::MinSpeech { role, seconds } => {
                let channels = subject.channels.iter().filter(|c| c.scored && role.is_none_or(|r| r == c.role));
                plain(channels.map(|c| c.speech_s).sum::<f64>() >= *seconds)
            }
            Self::Data { field, values } => {
                plain(field.of(subject).is_some_and(|value| values.iter().any(|v| v == value)))
            }
        }
    }
}

impl Condition {
    /// The roles that it asks for by name.
    pub(super) fn roles(&self) -> Vec<Role> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::roles).collect(),
            Self::Not(part) => part.roles(),
            Self::Heard(heard) => heard.role.into_iter().collect(),
            Self::MinSpeech { role, .. } => role.iter().copied().collect(),
            Self::Data { .. } => Vec::new(),
        }
    }
}

impl DataField {
    fn of<'a>(&self, subject: Subject<'a>) -> Option<&'a str> {
        let call = subject.call;
        let value = match self {
            Self::CallId => call.call_id.as_ref(),
            Self::Agent => call.agent.as_ref(),
            Self::Team => call.team.as_ref(),
            Self::Customer => call.customer.as_ref(),
            Self::Attribute(name) => call.attributes.get(name),
        };
        value.map(String::as_str)
    }
}
