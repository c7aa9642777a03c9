//! FLAC as a file of its own.

use super::{Container, Input, Layout, TrackTiming};
use domain::Failure;
use symphonia::default::formats::FlacReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

pub(super) struct Flac;

impl Container for Flac {
    fn name(&self) -> &'static str {
        "flac"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        input.has(0, b"fLaC").then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        Ok(Layout::new(&Flac, input.start..input.length))
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(FlacReader::try_new(stream, FormatOptions::default())?))
    }

    fn complete(&self, timing: TrackTiming, track: &Track, _: &AudioCodecParameters) -> TrackTiming {
        TrackTiming { sample_count: track.num_frames, ..timing }
    }
}
