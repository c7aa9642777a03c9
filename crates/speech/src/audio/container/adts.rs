//! AAC in ADTS frames.

use super::mpeg::{self, Stream};
use super::{Container, Input, Layout, TrackLayout, TrackTiming, tag};
use domain::Failure;
use symphonia::default::formats::AdtsReader;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader};
use symphonia_core::io::MediaSourceStream;

pub(super) struct Adts;

impl Container for Adts {
    fn name(&self) -> &'static str {
        "adts"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        mpeg::find(&input.head, input.whole()).filter(|(_, stream)| *stream == Stream::Adts).map(|(offset, _)| offset)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let range = input.start..tag::end(input)?;
        let timing = TrackTiming { decoded_s: mpeg::frames_s(input, &range)?, ..TrackTiming::default() };
        let mut layout = Layout::new(&Adts, range);
        layout.tracks.push(TrackLayout { timing, ..TrackLayout::default() });
        Ok(layout)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(AdtsReader::try_new(stream, FormatOptions::default())?))
    }
}
