//! AAC in ADTS frames.

use super::mpeg::{self, Stream};
use super::{Container, Input, Layout, TrackLayout, tag};
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
        let end = tag::end(input)?;
        Ok(Layout::new(&Adts, input.start..end))
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(AdtsReader::try_new(stream, FormatOptions::default())?))
    }
}
