//! Alert rules: what about a call somebody wants to be told, and the evidence for it.
//!
//! A rule is read once, from `config/alerts.toml`, and then only asked: it says of a call whether
//! it holds, and if so, where in the recording.

mod book;
mod condition;
mod destination;
mod evidence;
mod heard;
mod notice;
mod rule;
mod rule_match;
mod wording;

pub use book::Rulebook;
pub use condition::{Condition, DataField};
pub use destination::{AMQP, Destination, Language, Service};
pub use evidence::{Evidence, Finding, What};
pub use heard::{Extent, Heard, Third};
pub use notice::{Kind, Notice, TellOf};
pub use rule::{Grouping, Rule, Severity};
pub use rule_match::RuleMatch;
pub use wording::clock;

use crate::report::ChannelReport;
use crate::{CallData, Report};

/// What a rule is asked about: a call just analysed, or one out of the history.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What is known of the call.
    pub call: &'a CallData,
    /// Who was heard as what; only scored channels count.
    pub channels: &'a [ChannelReport],
}

impl<'a> From<&'a Report> for Subject<'a> {
    fn from(report: &'a Report) -> Self {
        Self { call: &report.call, channels: &report.channels }
    }
}
