//! What must be true of a call for a rule to fire.

use super::Subject;
use super::call_field::CallField;
use super::evidence::Evidence;
use super::speech_condition::SpeechCondition;
use crate::Role;

/// A condition; conditions nest.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// All of these hold.
    All(Vec<Condition>),
    /// At least one of these holds.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
    /// An emotion is predicted for enough of the speech.
    Speech(SpeechCondition),
    /// There is at least this much speech.
    MinSpeech {
        /// The role; `None`: all scored channels together.
        role: Option<Role>,
        /// Seconds.
        seconds: f64,
    },
    /// Nothing is said: there are scored channels, and no speech on any of them.
    Silence {
        /// Only channels with this role; `None`: all scored channels.
        role: Option<Role>,
    },
    /// A field of the call data has one of these values.
    CallData {
        /// The field.
        field: CallField,
        /// The values.
        values: Vec<String>,
    },
}

impl Condition {
    /// `Some` when it holds, with the evidence from speech in the order of the conditions.
    pub(super) fn evaluate(&self, subject: Subject<'_>) -> Option<Vec<Evidence>> {
        let without_evidence = |holds: bool| holds.then(Vec::new);
        match self {
            Self::All(parts) => {
                let evidence: Option<Vec<_>> = parts.iter().map(|part| part.evaluate(subject)).collect();
                evidence.map(|evidence| evidence.into_iter().flatten().collect())
            }
            Self::Any(parts) => {
                let evidence: Vec<_> = parts.iter().filter_map(|part| part.evaluate(subject)).collect();
                (!evidence.is_empty()).then(|| evidence.into_iter().flatten().collect())
            }
            Self::Not(part) => without_evidence(part.evaluate(subject).is_none()),
            Self::Speech(condition) => condition.evaluate(subject.channels).map(|evidence| vec![evidence]),
            Self::MinSpeech { role, seconds } => {
                let channels = subject.channels.iter().filter(|c| c.scored && role.is_none_or(|r| r == c.role));
                without_evidence(channels.map(|c| c.speech_s).sum::<f64>() >= *seconds)
            }
            Self::Silence { role } => {
                let mut channels = subject.channels.iter().filter(|c| c.scored && role.is_none_or(|r| r == c.role));
                without_evidence(
                    channels.next().is_some_and(|c| c.speech_s == 0.0 && channels.all(|c| c.speech_s == 0.0)),
                )
            }
            Self::CallData { field, values } => {
                let value = field.value(subject.call);
                without_evidence(value.is_some_and(|value| values.iter().any(|v| *v == value)))
            }
        }
    }

    /// The roles that it names.
    pub(super) fn roles(&self) -> Vec<Role> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::roles).collect(),
            Self::Not(part) => part.roles(),
            Self::Speech(condition) => condition.role.into_iter().collect(),
            Self::MinSpeech { role, .. } | Self::Silence { role } => role.iter().copied().collect(),
            Self::CallData { .. } => Vec::new(),
        }
    }
}
