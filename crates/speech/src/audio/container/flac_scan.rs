//! Where the frames of a FLAC stream end: what other programs put behind them would cost the last frame, since its end
//! is only known by the next one; and another stream may follow.

use super::Input;
use crate::audio::bytes::be32;
use crate::audio::codec;
use domain::Failure;
use symphonia_core::checksum::{Crc8Ccitt, Crc16Ansi};
use symphonia_core::codecs::audio::well_known::CODEC_ID_FLAC;
use symphonia_core::io::Monitor;
use symphonia_core::packet::Packet;
use symphonia_core::units::{Duration, Timestamp};

/// Bytes read at a time.
const WINDOW: usize = 256 * 1024;
/// Longest header of a frame, or beginning of a stream that is looked at.
const OVERLAP: usize = 64;
/// Longest frame that is looked into.
const MAX_FRAME: usize = 4 * 1024 * 1024;
/// Ends that are tried: of the wrong ones, one of 65,536 has the right checksum by chance.
const MAX_TRIED: usize = 64;

/// What the frames of a stream are followed by.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Where the last frame begins.
    pub(super) last_frame: Option<u64>,
    /// Where another stream begins.
    pub(super) next: Option<u64>,
}

/// Looks at all bytes from `audio` to `end`.
pub(super) fn scan(input: &mut Input, audio: u64, end: u64) -> Result<Scan, Failure> {
    let mut found = Scan::default();
    let first = input.read(audio, OVERLAP)?;
    let mut last = None;
    let mut begin = audio;
    while begin < end {
        let bytes = input.read(begin, WINDOW + OVERLAP)?;
        if bytes.is_empty() {
            break;
        }
        let bytes = &bytes[..bytes.len().min((end - begin) as usize)];
        for at in 0..bytes.len().min(WINDOW) {
            if bytes[at] == b'f' && begins_stream(&bytes[at..]) {
                found.next = Some(begin + at as u64);
                return Ok(found);
            }
            if bytes[at] == 0xff
                && let Some(number) = frame_number(&bytes[at..], &first)
                && last.is_none_or(|last| number > last)
            {
                (last, found.last_frame) = (Some(number), Some(begin + at as u64));
            }
        }
        begin += WINDOW as u64;
    }
    Ok(found)
}

/// Whether another stream begins here.
fn begins_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(b"fLaC")
        && bytes.get(4).is_some_and(|kind| matches!(kind, 0 | 0x80))
        && bytes.get(5..8) == Some(&[0, 0, 34])
}

/// The number of the frame or sample in the header of a frame like `first`; `None` if there is none.
fn frame_number(bytes: &[u8], first: &[u8]) -> Option<u64> {
    let (codes, like) = (be32(bytes, 0)?, be32(first, 0)?);
    // Sync, blocking strategy, rate and bits stay; the block's size and the channels' coding change.
    if (codes ^ like) & 0xffff_0f0f != 0 {
        return None;
    }
    let lead = *bytes.get(4)?;
    let more = match lead.leading_ones() {
        0 => 0,
        ones @ 2..=7 => ones as usize - 1,
        _ => return None,
    };
    let mut number = u64::from(lead) & (0x7f >> more);
    for byte in bytes.get(5..5 + more)? {
        if byte >> 6 != 2 {
            return None;
        }
        number = number << 6 | u64::from(byte & 0x3f);
    }
    let of_size = match codes >> 12 & 15 {
        6 => 1,
        7 => 2,
        _ => 0,
    };
    let of_rate = match codes >> 8 & 15 {
        12 => 1,
        13 | 14 => 2,
        _ => 0,
    };
    let length = 5 + more + of_size + of_rate;
    let mut sum = Crc8Ccitt::new(0);
    sum.process_buf_bytes(bytes.get(..length)?);
    (bytes.get(length) == Some(&sum.crc())).then_some(number)
}

/// Where the frame that begins at `frame` ends: before other bytes up to `end`, if there are any.
pub(super) fn end_of_frame(input: &mut Input, info: &[u8], frame: u64, end: u64) -> Result<u64, Failure> {
    let bytes = input.read(frame, usize::try_from(end - frame).unwrap_or(MAX_FRAME).min(MAX_FRAME))?;
    let mut sum = Crc16Ansi::new(0);
    let mut ends = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        sum.process_byte(*byte);
        // The checksum of a frame and its checksum is 0.
        if sum.crc() == 0 && at > 5 {
            ends.push(at + 1);
        }
    }
    if ends.last() == Some(&bytes.len()) && ends.len() == 1 || ends.is_empty() {
        return Ok(end);
    }
    let decodes = |length: &usize| decodes(info, &bytes[..*length]);
    Ok(ends.into_iter().take(MAX_TRIED).find(decodes).map_or(end, |length| frame + length as u64))
}

/// Whether these bytes are a whole frame.
fn decodes(info: &[u8], frame: &[u8]) -> bool {
    let Some(format) = be32(info, 10) else { return false };
    let mut coding = codec::plain(CODEC_ID_FLAC, format >> 12, (format >> 9 & 7) as u16 + 1);
    coding.params.with_extra_data(info.into());
    let Ok(mut decoder) = codec::decoder(&coding.params, false) else { return false };
    let packet = Packet::new(0, Timestamp::ZERO, Duration::from(0u64), frame.to_vec().into_boxed_slice());
    decoder.decode(&packet).is_ok()
}
