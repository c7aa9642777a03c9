//! FLAC as a file of its own. The demuxer gets the stream information alone, repaired where a value that does not
//! concern the sound contradicts the frames: it refuses files whose cue sheet, seek table or block sizes are odd.

use super::{Container, Input, Layout, MAX_PARTS, TrackLayout, TrackTiming, flac_scan, tag};
use crate::audio::bytes::be32;
use crate::audio::errors;
use domain::Failure;
use std::ops::{Range, RangeInclusive};
use symphonia::default::formats::FlacReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

/// Bytes of the stream information.
const STREAM_INFO: usize = 34;
/// Metadata blocks looked at before the audio must have begun.
const MAX_BLOCKS: usize = 1024;
/// Samples of a block, by the specification.
const BLOCK_SIZES: RangeInclusive<u16> = 16..=u16::MAX;
/// A count of samples that encoders of endless streams write: all of its 36 bits.
const ENDLESS: u64 = (1 << 36) - 1;

/// Bytes at the file's end in which the last frame is searched for.
const TAIL: u64 = 256 * 1024;

pub(super) struct Flac;

impl Container for Flac {
    fn name(&self) -> &'static str {
        "flac"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        input.has(0, b"fLaC").then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let (mut info, audio) = metadata(input)?;
        let frame = input.read(audio, 16)?;
        repair(&mut info, &frame);
        let header = [&b"fLaC\x80\0\0\x22"[..], &info].concat();
        let (mut end, mut ignored) = (tag::end(input)?.max(audio), 0);
        if let Some(last) = flac_scan::scan(input, audio, end)?.last_frame {
            let end_of_frame = flac_scan::end_of_frame(input, &info, last, end)?;
            if end_of_frame < end {
                ignored = tag::unknown(input, end_of_frame)?;
            }
            end = end_of_frame;
        }
        let timing =
            TrackTiming { decoded_s: confirmed_s(input, &info, &frame, audio..end)?, ..TrackTiming::default() };
        let track = TrackLayout { timing, ..TrackLayout::default() };
        Ok(Layout { header, ignored, tracks: vec![track], ..Layout::new(&Flac, audio..end) })
    }

    fn parts(&self, input: &mut Input) -> Result<Vec<Range<u64>>, Failure> {
        let (mut parts, mut begin, length, start) = (Vec::new(), input.start, input.length, input.start);
        while parts.len() < MAX_PARTS {
            input.start = begin;
            let Ok((_, audio)) = metadata(input) else { break };
            let Some(next) = flac_scan::scan(input, audio, length)?.next else { break };
            parts.push(begin..next);
            begin = next;
        }
        input.start = start;
        parts.push(begin..length);
        Ok(parts)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(FlacReader::try_new(stream, FormatOptions::default())?))
    }

    fn complete(&self, timing: TrackTiming, track: &Track, _: &AudioCodecParameters) -> TrackTiming {
        TrackTiming { sample_count: track.num_frames, ..timing }
    }
}

/// The stream information, and where the frames begin.
fn metadata(input: &mut Input) -> Result<(Vec<u8>, u64), Failure> {
    let (mut position, mut info) = (input.start + 4, None);
    for _ in 0..MAX_BLOCKS {
        let Some(header) = be32(&input.read(position, 4)?, 0) else {
            return Err(errors::truncated("the FLAC file ends before its audio begins"));
        };
        let (is_last, kind, length) = (header >> 31 == 1, header >> 24 & 0x7f, u64::from(header & 0xff_ffff));
        if kind == 0 && info.is_none() {
            info = Some(input.read(position + 4, STREAM_INFO)?);
        }
        position += 4 + length;
        if is_last {
            break;
        }
    }
    match info {
        Some(info) if info.len() == STREAM_INFO => Ok((info, position)),
        Some(_) => Err(errors::truncated("the FLAC file ends within its header")),
        None => Err(errors::bad_header("the FLAC header has no stream information")),
    }
}

/// Makes `info` agree with the first `frame`. Sizes of frames in bytes and the checksum of all samples are removed:
/// they are hints, and wrong ones would cost frames.
fn repair(info: &mut [u8], frame: &[u8]) {
    info[4..10].fill(0);
    info[18..34].fill(0);
    let first = frame_header(frame);
    let number = |info: &[u8], at: usize| u16::from_be_bytes([info[at], info[at + 1]]);
    let declared = [number(info, 0), number(info, 2)].into_iter().filter(|size| BLOCK_SIZES.contains(size)).max();
    let (smallest, largest) = match &first {
        Some(first) if first.is_variable => (*BLOCK_SIZES.start(), *BLOCK_SIZES.end()),
        Some(first) => {
            let size = declared.unwrap_or(0).max(first.samples).max(*BLOCK_SIZES.start());
            (size, size)
        }
        None => (number(info, 0), number(info, 2)),
    };
    info[..2].copy_from_slice(&smallest.to_be_bytes());
    info[2..4].copy_from_slice(&largest.to_be_bytes());
    if be32(info, 10).is_some_and(|bits| bits >> 12 == 0)
        && let Some(rate) = first.and_then(|first| first.rate)
    {
        let bits = be32(info, 10).unwrap_or(0) | rate << 12;
        info[10..14].copy_from_slice(&bits.to_be_bytes());
    }
    let count = u64::from(info[13] & 15) << 32 | u64::from(be32(info, 14).unwrap_or(0));
    if count == ENDLESS {
        info[13] &= 0xf0;
        info[14..18].fill(0);
    }
}

/// Seconds of the recording, if a frame at the file's end says the same as the stream information.
fn confirmed_s(input: &mut Input, info: &[u8], first: &[u8], audio: Range<u64>) -> Result<Option<f64>, Failure> {
    let count = u64::from(info[13] & 15) << 32 | u64::from(be32(info, 14).unwrap_or(0));
    let (Some(rate), Some(first)) = (be32(info, 10).map(|bits| bits >> 12), frame_header(first)) else {
        return Ok(None);
    };
    let seconds = count as f64 / f64::from(rate.max(1));
    if seconds <= input.max_seconds {
        return Ok(None);
    }
    let from = audio.end.saturating_sub(TAIL).max(audio.start);
    let tail = input.read(from, (audio.end - from) as usize)?;
    let position = |frame: &FrameHeader| {
        if frame.is_variable { frame.number } else { frame.number.saturating_mul(first.samples.into()) }
    };
    let ends_there = |bytes: &[u8]| {
        frame_header(bytes).filter(|frame| frame.is_variable == first.is_variable).is_some_and(|frame| {
            let end = position(&frame).saturating_sub(position(&first)).saturating_add(frame.samples.into());
            end.abs_diff(count) < u64::from(*BLOCK_SIZES.end())
        })
    };
    let syncs = (0..tail.len()).filter(|at| tail[*at] == 0xff).map(|at| &tail[at..]);
    Ok(syncs.rev().any(ends_there).then_some(seconds))
}

/// What the header of a frame says.
struct FrameHeader {
    /// Whether blocks have sizes of their own.
    is_variable: bool,
    /// Of the frame; with blocks of any size, of its first sample.
    number: u64,
    /// Samples per channel.
    samples: u16,
    /// Hz; `None` where the stream information has it.
    rate: Option<u32>,
}

/// Of the header at the beginning of `bytes`.
fn frame_header(bytes: &[u8]) -> Option<FrameHeader> {
    let codes = be32(bytes, 0)?;
    if codes >> 18 != 0x3ffe {
        return None;
    }
    let (size, rate) = (codes >> 12 & 15, codes >> 8 & 15);
    // The number of the frame or sample, coded like a character of UTF-8.
    let length = (bytes.get(4)?.leading_ones() as usize).max(1);
    let lead = u64::from(bytes[4]) & (0xff >> (length + usize::from(length > 1)).min(8));
    let number = bytes.get(5..4 + length)?.iter().fold(lead, |number, byte| number << 6 | u64::from(byte & 0x3f));
    let mut at = 4 + length;
    let mut next = |count: usize| -> Option<u32> {
        let bytes = bytes.get(at..at + count)?;
        at += count;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    };
    let samples = match size {
        1 => 192,
        2..=5 => 576 << (size - 2),
        6 => next(1)? + 1,
        7 => next(2)? + 1,
        8..=15 => 256 << (size - 8),
        _ => return None,
    };
    let rate = match rate {
        12 => next(1)? * 1000,
        13 => next(2)?,
        14 => next(2)? * 10,
        code => *[0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]
            .get(code as usize)?,
    };
    let is_variable = codes >> 16 & 1 == 1;
    Some(FrameHeader { is_variable, number, samples: u16::try_from(samples).ok()?, rate: (rate > 0).then_some(rate) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of frame 0: a fixed block of 4,096 samples at 8 kHz.
    const FIXED: [u8; 6] = [0xff, 0xf8, 0xc4, 0x08, 0x00, 0x00];

    fn repaired(info: [u8; STREAM_INFO], frame: &[u8]) -> Vec<u8> {
        let mut info = info.to_vec();
        repair(&mut info, frame);
        info
    }

    #[test]
    fn odd_values_of_the_stream_information_follow_the_first_frame() {
        let mut info = [0xaa; STREAM_INFO];
        info[..4].copy_from_slice(&[0, 0, 0x10, 0]);
        info[10..14].copy_from_slice(&[0, 0, 0x00, 0xff]);
        info[14..18].fill(0xff);
        let found = repaired(info, &FIXED);
        assert_eq!(found[..4], [0x10, 0, 0x10, 0], "block sizes");
        assert_eq!(found[4..10], [0; 6], "frame sizes");
        assert_eq!(be32(&found, 10).map(|bits| bits >> 12), Some(8_000), "rate");
        assert_eq!((found[13] & 15, &found[14..18]), (0, &[0; 4][..]), "no count is known");
        let variable = [0xff, 0xf9, 0xc4, 0x08, 0x00, 0x00];
        assert_eq!(repaired(info, &variable)[..4], [0, 16, 0xff, 0xff]);
        let short = [0xff, 0xf8, 0x74, 0x08, 0x00, 0x00, 0x0f];
        assert_eq!(repaired([0; STREAM_INFO], &short)[..4], [0, 16, 0, 16], "a block of 16 samples");
    }
}
