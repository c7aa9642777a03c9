//! What a container's own headers say of a file, before a demuxer is opened on it.

use super::{Container, Discard, Packing, Pages, Samples};
use crate::audio::codec::Blocks;
use std::ops::Range;
use std::sync::Arc;
use symphonia_core::codecs::audio::AudioCodecParameters;

/// Where a file's audio is, and what its container says of it.
#[derive(Clone)]
pub(in crate::audio) struct Layout {
    /// Whose demuxer reads `range`. The container itself, but for MPEG audio inside a WAV file.
    pub container: &'static dyn Container,
    /// Bytes to put before the range: a header that the demuxer understands, in place of the file's.
    pub header: Vec<u8>,
    /// Bytes of the file that the demuxer reads, after `header`.
    pub range: Range<u64>,
    /// Bytes that the headers promise and the file does not have.
    pub missing: u64,
    /// Bytes behind the audio that are neither sound nor anything else that is known.
    pub ignored: u64,
    /// Whether the demuxer can read a file with bytes missing at its end.
    pub readable_in_part: bool,
    /// The pages of Ogg streams, by which gaps are found.
    pub pages: Pages,
    /// Where other recordings follow, which were joined to this one: they are read after it.
    pub joined: Vec<Range<u64>>,
    /// The audio tracks that the container's headers describe, in file order. Empty where the format has only one
    /// track, or the headers don't say.
    pub tracks: Vec<TrackLayout>,
}

/// One audio track, by the container's headers.
#[derive(Debug, Clone, Default)]
pub(in crate::audio) struct TrackLayout {
    /// The demuxer's number of the track; `None` where it has only one.
    pub id: Option<u32>,
    /// Name of a codec or coding that would be decoded wrongly.
    pub refused: Option<String>,
    /// The codec's name, for when no decoder knows it.
    pub codec: Option<String>,
    /// Where the packets are, where the demuxer is our own.
    pub samples: Option<Arc<Samples>>,
    /// The codec, where the demuxer does not know its name.
    pub params: Option<AudioCodecParameters>,
    /// The blocks of such a codec, where the demuxer does not know how long its packets are.
    pub blocks: Option<Blocks>,
    /// What was done to the packets after coding.
    pub packing: Option<Packing>,
    /// What is to be discarded of single packets, in order.
    pub discards: Arc<[Discard]>,
    /// Hz, as the container says; the codec's own configuration may differ.
    pub sample_rate: Option<u32>,
    /// Which of the decoded samples belong to the recording.
    pub timing: TrackTiming,
}

/// One part of a recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::audio) enum Part {
    /// Decoded samples.
    Decoded {
        /// Seconds from the track's first sample, the encoder's delay included.
        begin_s: f64,
        /// Seconds until the part's end. The last packet of the last part is delivered whole.
        duration_s: Option<f64>,
    },
    /// Nothing was recorded.
    Silent {
        /// Seconds.
        duration_s: f64,
    },
}

/// Which of a track's decoded samples belong to the recording.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::audio) struct TrackTiming {
    /// Seconds from the recording's beginning to the track's, by the container's headers.
    pub start_s: f64,
    /// The parts of which the recording consists, in order; empty for all of the track. Only a container whose demuxer
    /// can seek may have several.
    pub parts: Vec<Part>,
    /// Seconds that decoding gives at least, edit list aside, by headers that the file's bytes bear out; `None` where
    /// they don't say.
    pub decoded_s: Option<f64>,
    /// Samples per channel, where the header states them exactly rather than by estimate.
    pub sample_count: Option<u64>,
    /// Whether the decoder may cut from a packet what the demuxer marks as delay and padding.
    pub gapless: bool,
}

impl Default for TrackTiming {
    fn default() -> Self {
        Self { start_s: 0.0, parts: Vec::new(), decoded_s: None, sample_count: None, gapless: true }
    }
}

impl TrackTiming {
    /// Seconds of silence that the headers announce, which is delivered without any bytes of the file.
    pub(in crate::audio) fn silent_s(&self) -> f64 {
        let silence = self.parts.iter().map(|part| match part {
            Part::Decoded { .. } => 0.0,
            Part::Silent { duration_s } => *duration_s,
        });
        self.start_s + silence.sum::<f64>()
    }

    /// Seconds of the recording by the headers, silence included; `None` where they don't say.
    pub(in crate::audio) fn announced_s(&self) -> Option<f64> {
        let decoded_s = self.decoded_s?;
        let parts = self.parts.iter().map(|part| match *part {
            Part::Silent { duration_s } => duration_s,
            Part::Decoded { begin_s, duration_s } => {
                let left_s = (decoded_s - begin_s).max(0.0);
                duration_s.map_or(left_s, |duration_s| duration_s.min(left_s))
            }
        });
        Some(self.start_s + if self.parts.is_empty() { decoded_s } else { parts.sum() })
    }

    /// Without `delay_s` seconds at the track's beginning.
    pub(super) fn after(self, delay_s: f64) -> Self {
        Self { parts: vec![Part::Decoded { begin_s: delay_s, duration_s: None }], ..self }
    }
}

impl Layout {
    /// All of `range`, as it is.
    pub(super) fn new(container: &'static dyn Container, range: Range<u64>) -> Self {
        Self {
            container,
            header: Vec::new(),
            range,
            missing: 0,
            ignored: 0,
            readable_in_part: true,
            pages: Pages::default(),
            joined: Vec::new(),
            tracks: Vec::new(),
        }
    }

    /// How many audio tracks are to be tried.
    pub(in crate::audio) fn track_count(&self) -> usize {
        self.tracks.len().max(1)
    }

    /// The audio track of this number, before the demuxer adds to it.
    pub(in crate::audio) fn track(&self, number: usize) -> TrackLayout {
        self.tracks.get(number).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_announce_what_they_take_of_the_track() {
        let timing = |parts: &[Part]| TrackTiming {
            start_s: 2.0,
            decoded_s: Some(60.0),
            parts: parts.to_vec(),
            ..TrackTiming::default()
        };
        let decoded = |begin_s, duration_s| Part::Decoded { begin_s, duration_s };
        assert_eq!(timing(&[]).announced_s(), Some(62.0));
        assert_eq!(timing(&[decoded(10.0, None)]).announced_s(), Some(52.0));
        assert_eq!(timing(&[decoded(50.0, Some(30.0)), decoded(0.0, Some(5.0))]).announced_s(), Some(17.0));
        assert_eq!(timing(&[decoded(70.0, None), Part::Silent { duration_s: 3.0 }]).announced_s(), Some(5.0));
        assert_eq!(TrackTiming::default().announced_s(), None);
    }
}
