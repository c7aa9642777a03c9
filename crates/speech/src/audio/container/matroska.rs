//! Matroska and WebM. What the demuxer ignores is read here: where the file should end, and the padding of its
//! last packet.

use super::{Container, Input, Layout, TrackLayout, TrackTiming};
use crate::audio::bytes::{be32, le16};
use crate::audio::codec::OPUS_RATE;
use domain::Failure;
use symphonia::default::formats::MkvReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const BLOCK_GROUP: u32 = 0xa0;
const DISCARD_PADDING: u32 = 0x75a2;
/// Bytes of an element's header: an id of at most four, and a size of at most eight.
const HEADER: usize = 12;
/// Elements walked over at most: a day of clusters of a second.
const MAX_ELEMENTS: usize = 100_000;
/// Longest padding that is believed, seconds: the longest packet of Opus.
const MAX_PADDING_S: f64 = 0.12;

pub(super) struct Matroska;

impl Container for Matroska {
    fn name(&self) -> &'static str {
        "matroska"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        input.has(0, b"\x1a\x45\xdf\xa3").then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let segment = read(input)?;
        let timing = TrackTiming { padding_s: segment.padding_s, ..TrackTiming::default() };
        let mut layout = Layout::new(&Matroska, input.start..input.length);
        layout.missing = segment.missing;
        layout.readable_in_part = false;
        layout.tracks.push(TrackLayout { timing, ..TrackLayout::default() });
        Ok(layout)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(MkvReader::try_new(stream, FormatOptions::default())?))
    }

    /// The demuxer leaves Opus's pre-skip in.
    fn complete(&self, timing: TrackTiming, _: &Track, params: &AudioCodecParameters) -> TrackTiming {
        match params.extra_data.as_deref() {
            Some(head) if head.starts_with(b"OpusHead") => {
                let delay_s = f64::from(le16(head, 10).unwrap_or(0)) / f64::from(OPUS_RATE);
                TrackTiming { delay_s, ..timing }
            }
            _ => timing,
        }
    }
}

/// The outermost element, which holds all others.
#[derive(Debug, Default, PartialEq)]
struct EbmlSegment {
    /// Bytes by which it exceeds the end of the file.
    missing: u64,
    /// Seconds of padding at the end of the last packet.
    padding_s: f64,
}

/// Walks over the elements from `input.start` on.
fn read(input: &mut Input) -> Result<EbmlSegment, Failure> {
    let mut found = EbmlSegment::default();
    let Some(header) = element(input, input.start)? else { return Ok(found) };
    let Some(segment) = (match header.end {
        Some(end) => element(input, end)?,
        None => None,
    }) else {
        return Ok(found);
    };
    if segment.id != SEGMENT {
        return Ok(found);
    }
    let length = input.length;
    found.missing = segment.end.map_or(0, |end| end.saturating_sub(length));
    let end = segment.end.unwrap_or(length).min(length);
    let Some(cluster) = last(input, segment.body, end, CLUSTER)? else { return Ok(found) };
    let Some(group) = last(input, cluster.body, cluster.end.unwrap_or(end).min(end), BLOCK_GROUP)? else {
        return Ok(found);
    };
    let last_of_group = group.end.unwrap_or(end).min(end);
    if let Some(padding) = last(input, group.body, last_of_group, DISCARD_PADDING)? {
        let size = padding.end.map_or(0, |end| end - padding.body).min(8) as usize;
        let bytes = input.read(padding.body, size)?;
        let nanoseconds = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let seconds = nanoseconds as f64 / 1e9;
        found.padding_s = if seconds <= MAX_PADDING_S { seconds } else { 0.0 };
    }
    Ok(found)
}

struct Element {
    id: u32,
    /// Where its body begins.
    body: u64,
    /// Where it ends; `None` when its size is unknown.
    end: Option<u64>,
}

/// The last element with this id between two offsets, if elements of known size lead to it.
fn last(input: &mut Input, mut at: u64, end: u64, id: u32) -> Result<Option<Element>, Failure> {
    let mut found = None;
    for _ in 0..MAX_ELEMENTS {
        if at >= end {
            break;
        }
        let Some(element) = element(input, at)? else { break };
        let next = element.end;
        if element.id == id {
            found = Some(element);
        }
        match next {
            Some(next) if next > at => at = next,
            _ => break,
        }
    }
    Ok(found)
}

fn element(input: &mut Input, at: u64) -> Result<Option<Element>, Failure> {
    let bytes = input.read(at, HEADER)?;
    Ok(parse(&bytes, at))
}

fn parse(bytes: &[u8], at: u64) -> Option<Element> {
    let id_length = bytes.first()?.leading_zeros() as usize + 1;
    if id_length > 4 {
        return None;
    }
    let mut padded = [0; 4];
    padded[4 - id_length..].copy_from_slice(bytes.get(..id_length)?);
    let first = *bytes.get(id_length)?;
    let size_length = first.leading_zeros() as usize + 1;
    if size_length > 8 {
        return None;
    }
    let rest = bytes.get(id_length + 1..id_length + size_length)?;
    let marker = u64::from(first) & ((1u64 << (8 - size_length)) - 1);
    let size = rest.iter().fold(marker, |value, byte| value << 8 | u64::from(*byte));
    let known = size != (1u64 << (7 * size_length)) - 1;
    let body = at + (id_length + size_length) as u64;
    Some(Element { id: be32(&padded, 0)?, body, end: if known { body.checked_add(size) } else { None } })
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;

    fn read_bytes(bytes: &[u8]) -> EbmlSegment {
        read(&mut input(bytes)).expect("read")
    }

    #[test]
    fn the_padding_of_the_last_group_is_found() {
        let mut bytes = b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\xff".to_vec();
        bytes.extend(b"\x1f\x43\xb6\x75\x83old");
        bytes.extend(b"\x1f\x43\xb6\x75\x91\xa3\x84soun\xa0\x89\xa1\x82bl\x75\xa2\x82\x27\x10");
        assert_eq!(read_bytes(&bytes), EbmlSegment { missing: 0, padding_s: 10e-6 });
    }

    #[test]
    fn missing_bytes_of_the_segment_are_counted() {
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\x41\x00body").missing, 252);
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\xff").missing, 0);
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3").missing, 0);
    }
}
