//! Why a rule fired: the segments, and the second at which they begin.

use serde::{Deserialize, Serialize};

use crate::Role;

/// The result of a rule that holds for a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// One entry per speech condition that holds, in the rule's order. Empty when the rule
    /// only tests call data or the absence of something.
    pub evidence: Vec<Evidence>,
}

impl Finding {
    /// The evidence that a link leads to; `None`: the rule concerns the call as a whole.
    pub fn main(&self) -> Option<&Evidence> {
        self.evidence.first()
    }
}

/// Which emotion was predicted in which segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Channel number from 0; absent for the mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
    /// Role of the channel.
    pub role: Role,
    /// The emotion or group of emotions, as the rule names it.
    pub emotion: String,
    /// First segment, by its number within the channel.
    pub first_segment: u32,
    /// Last segment; the same as the first if there is one only.
    pub last_segment: u32,
    /// Begin, seconds from the beginning of the recording.
    pub start_s: f64,
    /// End, seconds from the beginning of the recording.
    pub end_s: f64,
    /// The pattern that was found.
    #[serde(flatten)]
    pub pattern: Pattern,
}

/// A pattern in the segments of one channel, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Pattern {
    /// Consecutive segments.
    InARow {
        /// Number of segments.
        segments: u32,
        /// Mean score, weighted by seconds.
        score: f32,
    },
    /// A share of the speech; the evidence is the segment with the highest score.
    Share {
        /// Share by seconds, 0 to 1.
        share: f32,
        /// Highest score.
        score: f32,
    },
    /// The mean score rises from the first third to the last; the evidence is the segment where it rises.
    Shift {
        /// Mean of the last third minus mean of the first.
        shift: f32,
        /// Mean of the last third.
        score: f32,
    },
}
