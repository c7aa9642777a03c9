//! MPEG audio files that were joined, with or without tags between: where each begins and ends. The count of samples in
//! the first one's header is not that of all.

use super::mpeg::{self, Frame, Stream};
use super::window::{WINDOW, Window};
use super::{Input, MAX_PARTS, tag};
use crate::audio::bytes::be32;
use domain::Failure;
use std::ops::Range;

/// Bytes at a frame's beginning that have its header and counts, and those of frames behind it.
const FRAME: usize = 16 * 1024;

/// The recordings of which the file consists: at least one.
pub(super) fn parts(input: &mut Input) -> Result<Vec<Range<u64>>, Failure> {
    let end = tag::end(input)?;
    let mut window = Window::default();
    let mut walk = Walk::new(input.start);
    let mut at = input.start;
    while at < end && walk.parts.len() < MAX_PARTS {
        let bytes = window.read(input, at, FRAME)?;
        if bytes.is_empty() {
            break;
        }
        if let Some(Frame { stream: Stream::Mpeg, identity, length, .. }) = mpeg::frame(bytes) {
            // A damaged header may look like one of another kind.
            if Some(identity) == walk.identity || walk.identity.is_none() || mpeg::stream(bytes, false).is_some() {
                walk.frame(at, identity, Info::read(bytes), length as u64);
                at += length as u64;
                continue;
            }
        }
        let tag = tag::length_at_beginning(bytes);
        if tag > 0 {
            walk.behind_tag = true;
            at += tag;
            continue;
        }
        // Damage or padding: frames go on where some follow each other.
        let bytes = window.read(input, at + 1, WINDOW)?;
        let found = mpeg::find(bytes, false).filter(|(_, stream)| *stream == Stream::Mpeg);
        let tag = (0..bytes.len()).take(found.map_or(bytes.len(), |(frame, _)| frame));
        let tag = tag.into_iter().find(|at| tag::length_at_beginning(&bytes[*at..]) > 0);
        at += 1 + tag.or(found.map(|(frame, _)| frame)).unwrap_or(bytes.len().max(1)) as u64;
    }
    Ok(walk.end(end))
}

/// The counts in the first frame of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Info {
    frames: Option<u64>,
    bytes: Option<u64>,
}

impl Info {
    /// Of a frame that holds no sound, but counts.
    fn read(frame: &[u8]) -> Option<Self> {
        let header = be32(frame, 0)?;
        let (version_1, mono) = (header >> 19 & 3 == 3, header >> 6 & 3 == 3);
        let side = match (version_1, mono) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        };
        let some = |value: Option<u32>| value.filter(|value| *value > 0).map(u64::from);
        if frame.get(36..40) == Some(b"VBRI") {
            return Some(Self { bytes: some(be32(frame, 46)), frames: some(be32(frame, 50)) });
        }
        let at = 4 + side;
        let flags = be32(frame, at + 4).filter(|flags| *flags < 16)?;
        if !matches!(frame.get(at..at + 4), Some(b"Xing" | b"Info")) {
            return None;
        }
        let frames = some(be32(frame, at + 8)).filter(|_| flags & 1 != 0);
        let bytes_at = at + 8 + if flags & 1 == 0 { 0 } else { 4 };
        Some(Self { frames, bytes: some(be32(frame, bytes_at)).filter(|_| flags & 2 != 0) })
    }
}

/// The recordings found so far, and the one that goes on.
struct Walk {
    parts: Vec<Range<u64>>,
    begin: u64,
    identity: Option<u32>,
    info: Option<Info>,
    /// Frames of sound passed.
    frames: u64,
    /// Where the last frame ended.
    end: u64,
    /// Whether a tag follows it.
    behind_tag: bool,
}

impl Walk {
    fn new(begin: u64) -> Self {
        Self { parts: Vec::new(), begin, identity: None, info: None, frames: 0, end: begin, behind_tag: false }
    }

    fn frame(&mut self, at: u64, identity: u32, info: Option<Info>, length: u64) {
        let is_first = self.identity.is_none();
        let counted = self.info.is_some_and(|counts| {
            counts.frames.is_some_and(|frames| self.frames >= frames)
                || counts.bytes.is_some_and(|bytes| at >= self.begin + bytes)
        });
        if !is_first && (self.behind_tag || info.is_some() || counted || self.identity != Some(identity)) {
            self.parts.push(self.begin..self.end);
            *self = Self { parts: std::mem::take(&mut self.parts), ..Self::new(at) };
        }
        if self.identity.is_none() {
            (self.begin, self.identity, self.info) = (at, Some(identity), info);
        }
        self.frames += u64::from(info.is_none());
        (self.end, self.behind_tag) = (at + length, false);
    }

    fn end(mut self, end: u64) -> Vec<Range<u64>> {
        // Behind the last frame may be one that is cut: the demuxer decides.
        self.parts.push(self.begin.min(end)..end);
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;

    /// Frames of MPEG-1 layer III, 128 kbit/s, 44.1 kHz, mono: 417 bytes each.
    fn frames(count: usize, info: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..count {
            let mut frame = vec![0u8; 417];
            frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0xc0]);
            if let (0, Some(info)) = (number, info) {
                frame[21..21 + info.len()].copy_from_slice(info);
            }
            bytes.extend(frame);
        }
        bytes
    }

    fn found(pieces: &[&[u8]]) -> Vec<Range<u64>> {
        parts(&mut input(&pieces.concat())).expect("read")
    }

    #[test]
    fn recordings_are_told_apart_by_tags_counts_and_headers_of_their_own() {
        let info = [&b"Info"[..], &[0, 0, 0, 1, 0, 0, 0, 5]].concat();
        let no_counts = [&b"Xing"[..], &[0; 4]].concat();
        let (counted, plain, xing) = (frames(6, Some(&info)), frames(4, None), frames(4, Some(&no_counts)));
        let id3v1 = [&b"TAG"[..], &[0xff; 125]].concat();
        let id3v2 = b"ID3\x04\0\0\0\0\0\x04\xff\xfb\x90\xc0".to_vec();
        let ape = [&b"APETAGEX"[..], &2_000u32.to_le_bytes(), &40u32.to_le_bytes(), &[0; 4], &[0, 0, 0, 0xa0], &[0; 8]];
        let ape = [&ape.concat()[..], b"an item.", &ape.concat()].concat();
        let lyrics = b"LYRICSBEGININD0000200000021LYRICS200".to_vec();
        for between in [&[][..], &id3v1, &id3v2, &ape, &lyrics, &[0; 700], &[&id3v1[..], &id3v2].concat()] {
            let begin = 6 * 417 + between.len() as u64;
            for second in [&counted, &plain, &xing] {
                let ranges = found(&[&counted, between, second]);
                assert_eq!(ranges[0], 0..6 * 417, "{between:?}");
                assert_eq!(ranges[1], begin..begin + second.len() as u64, "{between:?}");
                assert_eq!(ranges.len(), 2);
            }
        }
        assert_eq!(found(&[&plain, &xing, &id3v1]), [0..4 * 417, 4 * 417..8 * 417]);
        let whole = 0..8 * 417 + 90;
        assert_eq!(found(&[&plain, &[0x55; 90], &plain]), std::slice::from_ref(&whole), "damage alone is no end");
    }
}
