//! MPEG audio (layers I to III); and the search for its frames and those of ADTS, which follow each other.

use super::{Container, Input, Layout, TrackLayout, TrackTiming, mpeg_parts, tag};
use crate::audio::bytes::be32;
use crate::audio::errors;
use domain::Failure;
use std::ops::Range;
use symphonia::default::formats::MpaReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

/// How far into a file the first frame may be.
pub(super) const SEARCH: usize = 64 * 1024;
/// Frames in a row that make a stream.
const FRAMES: usize = 3;
/// Bytes at the beginning that hold the header and the counts of an info frame.
const INFO_FRAME: usize = 256;

/// Bytes of a frame's header, and of the shortest frame (ADTS).
const FRAME_HEADER: usize = 6;
const SHORTEST_FRAME: u64 = 8;
/// Bytes read at once while frames are counted.
const FRAMES_READ: usize = 256 * 1024;
/// Seconds past the longest recording after which counting more frames is of no use.
const FRAMES_MARGIN_S: f64 = 2.0;
/// Hz, of the rates in headers of ADTS; and the samples of such a frame, at least.
const ADTS_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
const ADTS_SAMPLES: f64 = 1_024.0;

pub(super) struct Mpeg;

impl Container for Mpeg {
    fn name(&self) -> &'static str {
        "mpeg"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        find(&input.head, input.whole()).filter(|(_, stream)| *stream == Stream::Mpeg).map(|(offset, _)| offset)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let end = tag::end(input)?;
        layout(input, input.start..end)
    }

    fn parts(&self, input: &mut Input) -> Result<Vec<Range<u64>>, Failure> {
        mpeg_parts::parts(input)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(MpaReader::try_new(stream, FormatOptions::default())?))
    }

    /// Without LAME's tag the demuxer estimates the sample count by the first frame's bit rate, and the decoder
    /// would cut what exceeds it.
    fn complete(&self, timing: TrackTiming, track: &Track, _: &AudioCodecParameters) -> TrackTiming {
        let gapless = timing.gapless && track.delay.is_some();
        TrackTiming { sample_count: track.num_frames.filter(|_| gapless), gapless, ..timing }
    }
}

/// The layout of MPEG audio in `range`, be it a file of its own or inside another container.
pub(super) fn layout(input: &mut Input, range: Range<u64>) -> Result<Layout, Failure> {
    if input.read(range.start, FRAME_HEADER)?.get(..4).is_some_and(forbidden) {
        return Err(errors::unsupported(
            "MPEG layer II with a bit rate that is not allowed for its number of channels",
        ));
    }
    let gapless = !concatenated(input, range.start)?;
    let decoded_s = frames_s(input, &range)?;
    let mut layout = Layout::new(&Mpeg, range);
    let timing = TrackTiming { decoded_s, gapless, ..TrackTiming::default() };
    layout.tracks.push(TrackLayout { timing, ..TrackLayout::default() });
    Ok(layout)
}

/// Whether a frame of layer II has a bit rate that the standard forbids for one channel, or for two (ISO 11172-3, 2.4.2.3):
/// the demuxer finds no such frame.
fn forbidden(header: &[u8]) -> bool {
    let header = be32(header, 0).unwrap_or(0);
    let (is_version_1, is_layer_2, is_mono) = (header >> 19 & 3 == 3, header >> 17 & 3 == 2, header >> 6 & 3 == 3);
    let high = matches!(header >> 12 & 15, 11..=14);
    let low = matches!(header >> 12 & 15, 1 | 2 | 3 | 5);
    header >> 21 == 0x7ff && is_version_1 && is_layer_2 && if is_mono { high } else { low }
}

/// Seconds of the frames that follow each other from the beginning of `range` on, by their headers; not of all of them
/// where there are enough to be too long. `None` where the shortest frames would not be too long: these are not counted.
pub(super) fn frames_s(input: &mut Input, range: &Range<u64>) -> Result<Option<f64>, Failure> {
    let (mut at, mut bytes, mut buffered) = (range.start, Vec::new(), range.start);
    let most = range.end.saturating_sub(range.start) / SHORTEST_FRAME;
    let (mut seconds, mut first) = (0.0, None);
    while seconds <= input.max_seconds + FRAMES_MARGIN_S {
        let offset = (at - buffered) as usize;
        if bytes.len() < offset + FRAME_HEADER {
            (bytes, buffered) = (input.read(at, FRAMES_READ)?, at);
        }
        let Some(found) = bytes.get((at - buffered) as usize..).and_then(frame) else { break };
        let first = *first.get_or_insert(found);
        if most as f64 * first.seconds <= input.max_seconds {
            return Ok(None);
        }
        if (first.stream, first.identity) != (found.stream, found.identity) || at + found.length as u64 > range.end {
            break;
        }
        seconds += found.seconds;
        at += found.length as u64;
    }
    Ok(Some(seconds))
}

/// Whether another recording begins where the one at `start` ends by its own count: `cat` makes such files, and
/// the sample count of the first is not that of all.
fn concatenated(input: &mut Input, start: u64) -> Result<bool, Failure> {
    let Some(length) = byte_count(&input.read(start, INFO_FRAME)?) else { return Ok(false) };
    let next = input.read(start.saturating_add(length), 10)?;
    Ok(next.starts_with(b"ID3") || next.first() == Some(&0xff) && next.get(1).is_some_and(|byte| byte & 0xe0 == 0xe0))
}

/// A stream of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// MPEG-1 or -2 audio.
    Mpeg,
    /// AAC in ADTS.
    Adts,
}

/// Where in `head`, the beginning of the file, frames begin to follow each other.
///
/// `whole` says that `head` is the whole file, so that fewer frames may do.
pub(super) fn find(head: &[u8], whole: bool) -> Option<(usize, Stream)> {
    let starts = (0..head.len().min(SEARCH)).filter(|at| head[*at] == 0xff);
    starts.map(|at| (at, stream(&head[at..], whole && at == 0))).find_map(|(at, stream)| Some((at, stream?)))
}

/// Whether frames of one kind follow each other from the beginning of `bytes` on.
pub(super) fn stream(bytes: &[u8], whole: bool) -> Option<Stream> {
    let first = frame(bytes)?;
    let mut at = first.length;
    for _ in 1..FRAMES {
        match bytes.get(at..) {
            Some(rest) if rest.len() >= 6 => match frame(rest) {
                Some(next) if (next.stream, next.identity) == (first.stream, first.identity) => at += next.length,
                _ => return None,
            },
            _ => return whole.then_some(first.stream),
        }
    }
    Some(first.stream)
}

/// What the header of a frame says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) stream: Stream,
    /// The bits that must not change from frame to frame.
    pub(super) identity: u32,
    /// Bytes, the header included.
    pub(super) length: usize,
    seconds: f64,
}

/// The frame at the beginning.
pub(super) fn frame(bytes: &[u8]) -> Option<Frame> {
    let header = be32(bytes, 0)?;
    if header >> 21 != 0x7ff {
        return None;
    }
    let (version, layer) = (header >> 19 & 3, 4 - (header >> 17 & 3));
    if layer == 4 {
        return adts_frame(bytes, header);
    }
    let (rate_index, bitrate_index, padding) = (header >> 10 & 3, header >> 12 & 15, header >> 9 & 1);
    if version == 1 || rate_index == 3 || bitrate_index == 0 || bitrate_index == 15 {
        return None;
    }
    let rate = [44_100, 48_000, 32_000][rate_index as usize] >> [2, 0, 1, 0][version as usize];
    let kilobits = bitrate(version == 3, layer, bitrate_index as usize)?;
    let length = match layer {
        1 => (12_000 * kilobits / rate + padding) * 4,
        3 if version != 3 => 72_000 * kilobits / rate + padding,
        _ => 144_000 * kilobits / rate + padding,
    };
    let samples = match layer {
        1 => 384,
        3 if version != 3 => 576,
        _ => 1_152,
    };
    let seconds = f64::from(samples) / f64::from(rate);
    Some(Frame { stream: Stream::Mpeg, identity: header & 0xfffe_0c00, length: length as usize, seconds })
}

fn adts_frame(bytes: &[u8], header: u32) -> Option<Frame> {
    // 0xfff: twelve bits of sync, where MPEG audio has eleven.
    let length = (be32(bytes, 2)? >> 5 & 0x1fff) as usize;
    let rate = *ADTS_RATES.get((header >> 10 & 15) as usize)?;
    let seconds = ADTS_SAMPLES / f64::from(rate);
    let sensible = header >> 20 == 0xfff && length > 7;
    sensible.then_some(Frame { stream: Stream::Adts, identity: header & 0xfffe_fdc0, length, seconds })
}

/// Bytes of the recording that begins with `head`, if its first frame has that count (`Xing`, `Info`).
fn byte_count(head: &[u8]) -> Option<u64> {
    let first = head.get(..head.len().min(200))?;
    let at = first.windows(4).position(|word| word == b"Xing" || word == b"Info")?;
    let flags = be32(head, at + 4)?;
    let bytes_at = at + 8 + if flags & 1 == 0 { 0 } else { 4 };
    (flags & 2 != 0).then(|| be32(head, bytes_at).map(u64::from)).flatten()
}

fn bitrate(version_1: bool, layer: u32, index: usize) -> Option<u32> {
    const RATES: [[u32; 14]; 5] = [
        [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let table = match (version_1, layer) {
        (true, 1) => 0,
        (true, 2) => 1,
        (true, _) => 2,
        (false, 1) => 3,
        (false, _) => 4,
    };
    RATES[table].get(index - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_not_a_stream() {
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(SEARCH * 2)
        .collect();
        assert_eq!(find(&noise, false), None);
        assert_eq!(find(&[0xff; 4096], false), None);
    }

    #[test]
    fn an_info_frame_gives_the_byte_count() {
        let frame = |flags: u32, fields: &[u32]| {
            let numbers: Vec<u8> = [&[flags], fields].concat().iter().flat_map(|n| n.to_be_bytes()).collect();
            [&[0xff, 0xfb, 0x90, 0x00][..], &[0; 32], b"Info", &numbers].concat()
        };
        assert_eq!(byte_count(&frame(3, &[100, 41_700])), Some(41_700));
        assert_eq!(byte_count(&frame(2, &[41_700])), Some(41_700));
        assert_eq!(byte_count(&frame(1, &[100])), None);
        assert_eq!(byte_count(&frame(3, &[100])), None);
        assert_eq!(byte_count(&[0xff; 300]), None);
    }

    #[test]
    fn frames_that_follow_each_other_are_found_behind_padding() {
        // MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes a frame.
        let mut bytes = vec![0u8; 100];
        for _ in 0..4 {
            let mut frame = vec![0u8; 417];
            frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x00]);
            bytes.extend(frame);
        }
        assert_eq!(find(&bytes, true), Some((100, Stream::Mpeg)));
    }
}
