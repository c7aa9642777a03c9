//! A field of the call data, as rules and messages name it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::CallData;

/// A field of [`CallData`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallField {
    /// The operator's id of the call.
    CallId,
    /// The agent.
    Agent,
    /// The agent's team.
    Team,
    /// The customer.
    Customer,
    /// When the call began.
    StartedAt,
    /// A custom attribute, by its name.
    Attribute(String),
}

impl CallField {
    /// Its name in rules and messages: `team`, `attributes.vip`.
    pub fn label(&self) -> Cow<'static, str> {
        match self {
            Self::CallId => "call_id".into(),
            Self::Agent => "agent".into(),
            Self::Team => "team".into(),
            Self::Customer => "customer".into(),
            Self::StartedAt => "started_at".into(),
            Self::Attribute(name) => format!("attributes.{name}").into(),
        }
    }

    /// The field with this name.
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

    /// Its value for this call; times in RFC 3339, in seconds.
    pub fn value<'a>(&self, call: &'a CallData) -> Option<Cow<'a, str>> {
        let text = match self {
            Self::CallId => call.call_id.as_ref(),
            Self::Agent => call.agent.as_ref(),
            Self::Team => call.team.as_ref(),
            Self::Customer => call.customer.as_ref(),
            Self::StartedAt => {
                return call.started_at.map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true).into());
            }
            Self::Attribute(name) => call.attributes.get(name),
        };
        text.map(|text| text.as_str().into())
    }

    /// The values of these fields by name, without those that the call lacks.
    pub fn select(fields: &[Self], call: &CallData) -> BTreeMap<String, String> {
        let value = |field: &Self| Some((field.label().into_owned(), field.value(call)?.into_owned()));
        fields.iter().filter_map(value).collect()
    }
}
