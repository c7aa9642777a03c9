//! Segments of speech.

use adapters::postgres::console::SegmentRow;
use domain::report::ChannelReport;
use serde::Serialize;
use utoipa::ToSchema;

use super::NineScores;

/// One stretch of speech.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Segment {
    /// Channel number from 0; null for the mix of all.
    pub channel: Option<u16>,
    /// `customer`, `agent`, `speaker` or `mixed`.
    pub role: &'static str,
    /// Number within the channel, from 0.
    pub index: u32,
    /// Seconds from the recording's beginning.
    pub start_s: f64,
    /// Seconds from the recording's beginning.
    pub end_s: f64,
    /// Likeliest emotion.
    pub emotion: &'static str,
    /// Its probability.
    pub confidence: f32,
    /// All nine.
    pub scores: NineScores,
}

/// The segments of one channel.
pub(super) fn segments_of(channel: &ChannelReport) -> impl Iterator<Item = Segment> + '_ {
    channel.segments.iter().map(|segment| Segment {
        channel: channel.channel,
        role: channel.role.label(),
        index: segment.index,
        start_s: segment.start_s,
        end_s: segment.end_s,
        emotion: segment.emotion.label(),
        confidence: segment.confidence,
        scores: segment.scores.into(),
    })
}

impl From<SegmentRow> for Segment {
    fn from(row: SegmentRow) -> Self {
        Self {
            channel: row.channel,
            role: row.role.label(),
            index: row.index,
            start_s: row.start_s,
            end_s: row.end_s,
            emotion: row.emotion.label(),
            confidence: row.confidence,
            scores: row.scores.into(),
        }
    }
}
