//! Why a rule holds: the segments, and the second to listen from.

use serde::{Deserialize, Serialize};

use crate::Role;

/// A rule that holds of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// One entry per condition on speech that held, in the rule's order. Empty when the rule
    /// only asks for call data or for the absence of something.
    pub evidence: Vec<Evidence>,
}

impl Finding {
    /// Where to listen first; `None`: the rule is about the call as a whole.
    pub fn main(&self) -> Option<&Evidence> {
        self.evidence.first()
    }
}

/// What was heard where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Channel number from 0; absent for the mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
    /// Who spoke.
    pub role: Role,
    /// The emotion or group of emotions that the rule names.
    pub emotion: String,
    /// First segment, by its number within the channel.
    pub first_segment: u32,
    /// Last segment, the same as the first for a single one.
    pub last_segment: u32,
    /// Seconds from the recording's beginning: listen from here.
    pub start_s: f64,
    /// Seconds from the recording's beginning.
    pub end_s: f64,
    /// What was found there.
    #[serde(flatten)]
    pub what: What,
}

/// What was found, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum What {
    /// Segments one after the other.
    InARow {
        /// How many.
        segments: u32,
        /// Their mean score, weighted by seconds.
        score: f32,
    },
    /// A share of the speech; the span is the segment with the highest score.
    Share {
        /// 0 to 1.
        share: f32,
        /// The highest score.
        score: f32,
    },
    /// More of it in the last third than in the first; the span is where it turned.
    Shift {
        /// Mean of the last third minus mean of the first.
        shift: f32,
        /// Mean of the last third.
        score: f32,
    },
}
