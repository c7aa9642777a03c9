//! AAC in ADTS frames.

use super::mpeg::{self, Stream};
use super::{Container, Input, Layout};
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
        Ok(Layout::new(&Adts, input.start..input.length))
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(AdtsReader::try_new(stream, FormatOptions::default())?))
    }
}
