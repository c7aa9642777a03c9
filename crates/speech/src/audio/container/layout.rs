//! What a container's own headers say of a file, before a demuxer is opened on it.

use super::Container;
use std::ops::Range;

/// Where a file's audio is, and what its container says of it.
pub(in crate::audio) struct Layout {
    /// Whose demuxer reads `range`. The container itself, but for MPEG audio inside a WAV file.
    pub container: &'static dyn Container,
    /// Bytes to put before the range: a header that the demuxer understands, in place of the file's.
    pub header: Vec<u8>,
    /// Bytes of the file that the demuxer reads, after `header`.
    pub range: Range<u64>,
    /// Bytes that the headers promise and the file does not have.
    pub missing: u64,
    /// Whether the demuxer can read a file with bytes missing at its end.
    pub readable_in_part: bool,
    /// The audio tracks that the container's headers describe, in file order; may be empty. So far only
    /// the first is analysed.
    pub tracks: Vec<TrackLayout>,
}

/// One audio track, by the container's headers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::audio) struct TrackLayout {
    /// The codec's name, for when no decoder knows it.
    pub codec: Option<String>,
    /// Hz, as the container says; the codec's own configuration may differ.
    pub sample_rate: Option<u32>,
    /// Which of the decoded samples belong to the recording.
    pub timing: TrackTiming,
}

/// Which of a track's decoded samples belong to the recording.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::audio) struct TrackTiming {
    /// Seconds of encoder delay at the beginning that the demuxer leaves in.
    pub delay_s: f64,
    /// Seconds after the delay at which the last packet begins at the latest (an edit list's end).
    pub keep_s: Option<f64>,
    /// Seconds of padding at the end of the last packet.
    pub padding_s: f64,
    /// Samples per channel, where the header states them exactly rather than by estimate.
    pub sample_count: Option<u64>,
    /// Whether the decoder may cut from a packet what the demuxer marks as delay and padding.
    pub gapless: bool,
}

impl Default for TrackTiming {
    fn default() -> Self {
        Self { delay_s: 0.0, keep_s: None, padding_s: 0.0, sample_count: None, gapless: true }
    }
}

impl Layout {
    /// All of `range`, as it is.
    pub(super) fn new(container: &'static dyn Container, range: Range<u64>) -> Self {
        Self { container, header: Vec::new(), range, missing: 0, readable_in_part: true, tracks: Vec::new() }
    }

    /// Of the track that is analysed, before the demuxer adds to it.
    pub(in crate::audio) fn timing(&self) -> TrackTiming {
        self.tracks.first().map(|track| track.timing.clone()).unwrap_or_default()
    }
}
