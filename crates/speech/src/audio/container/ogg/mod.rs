//! Ogg: Vorbis, Opus and FLAC.

mod opus;
mod pages;

use super::{Container, Input, Layout, TrackLayout, TrackTiming};
use crate::audio::bytes::le32;
use crate::audio::codec::OPUS_RATE;
use crate::audio::errors;
use domain::Failure;
use symphonia::default::formats::OggReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

pub(in crate::audio) use pages::{Pager, Pages};

/// Bytes at the file's end that hold the beginning of its last page: a page has at most 65,307.
const TAIL: usize = 66_000;

/// First bytes of a stream's first packet, and the name of a codec that can't be decoded.
const UNSUPPORTED: [(&[u8], &str); 3] = [(b"Speex   ", "Speex"), (b"CELT    ", "CELT"), (b"PCM     ", "OggPCM")];

/// First bytes of the first packet of a stream that is no sound, and its name.
const NOT_SOUND: [(&[u8], &str); 7] = [
    (b"\x80theora", "Theora video"),
    (b"fishead\0", "a skeleton of several streams"),
    (b"BBCD\0", "Dirac video"),
    (b"\x80kate\0", "Kate subtitles"),
    (b"OVP80", "VP8 video"),
    (b"\x01video\0", "OGM video"),
    (b"CMML\0", "CMML text"),
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
        let tail = input.read(input.length.saturating_sub(TAIL as u64), TAIL)?;
        let mut layout = Layout::new(&Ogg, input.start..input.length);
        layout.missing = missing(&tail);
        let streams = streams(&input.head);
        layout.tracks = streams.iter().filter(|stream| stream.is_sound).map(|stream| stream.track.clone()).collect();
        let name = |track: &TrackLayout| track.refused.clone().or_else(|| track.codec.clone());
        if streams.iter().all(|stream| name(&stream.track).is_some())
            && let Some(name) = streams.first().and_then(|stream| name(&stream.track))
        {
            return Err(errors::unsupported(&name));
        }
        layout.pages = Pages::read(input)?;
        Ok(layout)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(OggReader::try_new(stream, FormatOptions::default())?))
    }

    fn has_timestamps(&self) -> bool {
        true
    }

    fn complete(&self, timing: TrackTiming, track: &Track, params: &AudioCodecParameters) -> TrackTiming {
        if params.codec != CODEC_ID_OPUS {
            return timing;
        }
        timing.after(f64::from(track.delay.unwrap_or(0)) / f64::from(OPUS_RATE))
    }
}

/// One of the streams that a file begins with.
struct Stream {
    track: TrackLayout,
    is_sound: bool,
}

/// The streams that begin together, in file order: a page each, marked as the first of its stream.
fn streams(mut head: &[u8]) -> Vec<Stream> {
    let mut found = Vec::new();
    while head.starts_with(b"OggS") && head.get(5).is_some_and(|flags| flags & 2 != 0) {
        let Some((stream, length)) = stream(head) else { break };
        found.push(stream);
        head = head.get(length..).unwrap_or_default();
    }
    found
}

/// The stream that a page begins, and the page's length.
fn stream(page: &[u8]) -> Option<(Stream, usize)> {
    let serial = le32(page, 14)?;
    let segments = usize::from(*page.get(26)?);
    let body: usize = page.get(27..27 + segments)?.iter().map(|n| usize::from(*n)).sum();
    let packet = &page[27 + segments..];
    let named = |names: &[(&[u8], &str)]| {
        names.iter().find(|(magic, _)| packet.starts_with(magic)).map(|(_, name)| (*name).to_owned())
    };
    let not_sound = named(&NOT_SOUND);
    let own_mapping = packet.starts_with(b"OpusHead") && packet.get(18).is_some_and(|family| *family > 1);
    let track = TrackLayout {
        id: Some(serial),
        refused: own_mapping.then(|| "Opus with a channel mapping of its own".to_owned()),
        codec: not_sound.clone().or_else(|| named(&UNSUPPORTED)),
        ..TrackLayout::default()
    };
    Some((Stream { track, is_sound: not_sound.is_none() }, 27 + segments + body))
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
