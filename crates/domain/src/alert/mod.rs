//! Alert rules: which calls raise an alert, and the evidence for it.
//!
//! A rule is read once, from the alert file, and is then a pure function of a call: whether it
//! holds, and if so, for which segments.

mod call_field;
mod condition;
mod delivery;
mod destination;
mod evidence;
mod message;
mod operating_point;
mod rule;
mod rule_match;
mod rulebook;
mod speech_condition;
mod wording;

pub use call_field::CallField;
pub use condition::Condition;
pub use delivery::DeliveryOutcome;
pub use destination::{AMQP, Destination, Language, RateLimit};
pub use evidence::{Evidence, Finding, Pattern};
pub use message::{AlertMessage, MessageKind};
pub use operating_point::{OperatingPoint, OperatingPoints};
pub use rule::{Grouping, Rule, Severity};
pub use rule_match::RuleMatch;
pub use rulebook::Rulebook;
pub use speech_condition::{CallPart, PatternThreshold, SpeechCondition};

use crate::report::ChannelReport;
use crate::{CallData, Report};

/// A call that rules are evaluated for: just analysed, or from the history.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The call data.
    pub call: &'a CallData,
    /// The channels with their segments; only scored ones count.
    pub channels: &'a [ChannelReport],
}

impl<'a> From<&'a Report> for Subject<'a> {
    fn from(report: &'a Report) -> Self {
        Self { call: &report.call, channels: &report.channels }
    }
}
