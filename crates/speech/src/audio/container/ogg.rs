//! Ogg: Vorbis, Opus and FLAC.

use super::{Container, Input, Layout, TrackTiming};
use crate::audio::codec::OPUS_RATE;
use crate::audio::errors;
use domain::Failure;
use symphonia::default::formats::OggReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

/// Bytes at the file's end that hold the beginning of its last page: a page has at most 65,307.
const TAIL: usize = 66_000;

/// First bytes of a stream's first packet, and the name of a codec that can't be decoded.
const UNSUPPORTED: [(&[u8], &str); 6] = [
    (b"Speex   ", "Speex"),
    (b"\x80theora", "Theora video"),
    (b"fishead\0", "a skeleton of several streams"),
    (b"CELT    ", "CELT"),
    (b"PCM     ", "OggPCM"),
    (b"BBCD\0", "Dirac video"),
];

pub(super) struct Ogg;

impl Container for Ogg {
    fn name(&self) -> &'static str {
        "ogg"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        input.has(0, b"OggS").then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        if let Some(name) = unsupported_codec(&input.head) {
            return Err(errors::unsupported(name));
        }
        let tail = input.read(input.length.saturating_sub(TAIL as u64), TAIL)?;
        let mut layout = Layout::new(&Ogg, input.start..input.length);
        layout.missing = missing(&tail);
        Ok(layout)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(OggReader::try_new(stream, FormatOptions::default())?))
    }

    fn complete(&self, timing: TrackTiming, track: &Track, params: &AudioCodecParameters) -> TrackTiming {
        if params.codec != CODEC_ID_OPUS {
            return timing;
        }
        TrackTiming { delay_s: f64::from(track.delay.unwrap_or(0)) / f64::from(OPUS_RATE), ..timing }
    }
}

/// The name of the first stream's codec, if it is one that can't be decoded.
fn unsupported_codec(head: &[u8]) -> Option<&'static str> {
    let segments = usize::from(*head.get(26)?);
    let packet = head.get(27 + segments..)?;
    if packet.starts_with(b"OpusHead") && packet.get(18).is_some_and(|family| *family > 1) {
        return Some("Opus with a channel mapping of its own");
    }
    UNSUPPORTED.into_iter().find(|(magic, _)| packet.starts_with(magic)).map(|(_, name)| name)
}

/// Bytes by which the last page in `tail`, the end of a file, exceeds that end.
fn missing(tail: &[u8]) -> u64 {
    let last = tail.windows(5).rposition(|bytes| bytes == b"OggS\0");
    let Some(page) = last.map(|at| &tail[at..]) else { return 0 };
    let Some(segments) = page.get(26).map(|n| usize::from(*n)) else { return 27 };
    let Some(table) = page.get(27..27 + segments) else { return segments as u64 };
    let declared = 27 + segments + table.iter().map(|n| usize::from(*n)).sum::<usize>();
    declared.saturating_sub(page.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_bytes_of_a_cut_page_are_counted() {
        let mut page = b"OggS\0".to_vec();
        page.extend([0; 21]);
        page.extend([2, 10, 5]);
        page.extend([7; 15]);
        assert_eq!(missing(&page), 0);
        assert_eq!(missing(&page[..page.len() - 4]), 4);
    }
}
