//! AIFF and AIFF-C.

use super::{Container, Input, Layout, TrackTiming};
use crate::audio::bytes::be32;
use domain::Failure;
use symphonia::default::formats::AiffReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

pub(super) struct Aiff;

impl Container for Aiff {
    fn name(&self) -> &'static str {
        "aiff"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        (input.has(0, b"FORM") && (input.has(8, b"AIFF") || input.has(8, b"AIFC"))).then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        // Writers to a pipe put 0 or the largest number for a length that they don't know yet.
        let size = be32(&input.head, 4).filter(|size| (1..u32::MAX).contains(size)).map_or(0, u64::from);
        let mut layout = Layout::new(&Aiff, input.start..input.length);
        layout.missing = (input.start + 8 + size).saturating_sub(input.length);
        layout.readable_in_part = false;
        Ok(layout)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(AiffReader::try_new(stream, FormatOptions::default())?))
    }

    fn complete(&self, timing: TrackTiming, track: &Track, _: &AudioCodecParameters) -> TrackTiming {
        TrackTiming { sample_count: track.num_frames, ..timing }
    }
}
