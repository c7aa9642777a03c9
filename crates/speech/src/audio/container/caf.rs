//! Core Audio Format.

use super::{Container, Input, Layout, TrackTiming};
use domain::Failure;
use symphonia::default::formats::CafReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

pub(super) struct Caf;

impl Container for Caf {
    fn name(&self) -> &'static str {
        "caf"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        input.has(0, b"caff\x00\x01").then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        Ok(Layout::new(&Caf, input.start..input.length))
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(CafReader::try_new(stream, FormatOptions::default())?))
    }

    /// The demuxer reads the packet table, but leaves delay and padding in.
    fn complete(&self, timing: TrackTiming, track: &Track, params: &AudioCodecParameters) -> TrackTiming {
        let seconds = |frames: u64| params.sample_rate.map_or(0.0, |rate| frames as f64 / f64::from(rate.max(1)));
        TrackTiming {
            delay_s: seconds(track.delay.unwrap_or(0).into()),
            keep_s: track.num_frames.filter(|_| track.delay.is_some()).map(seconds),
            sample_count: track.num_frames,
            ..timing
        }
    }
}
