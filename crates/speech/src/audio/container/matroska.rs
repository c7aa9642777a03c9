//! What the demuxer passes over in Matroska (`.mkv`, `.webm`): where the file should end, and the
//! padding behind its last sound.

use super::bytes::{be32, read_at};
use std::fs::File;

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const BLOCK_GROUP: u32 = 0xa0;
const DISCARD_PADDING: u32 = 0x75a2;
/// Bytes of a header: an element's name, at most four, and its size, at most eight.
const HEADER: usize = 12;
/// Elements walked over at most: a day of clusters of a second.
const MAX_ELEMENTS: usize = 100_000;
/// Longest padding that is believed, seconds: the longest packet of Opus.
const LONGEST: f64 = 0.12;

/// What the elements say.
#[derive(Debug, Default, PartialEq)]
pub(in crate::audio) struct Segment {
    /// Bytes by which the segment goes past the end of the file.
    pub missing: u64,
    /// Seconds of padding at the end of the last packet.
    pub padding_s: f64,
}

/// Reads the elements of `file`, `length` bytes long, from `base` on.
pub(in crate::audio) fn read(file: &mut File, base: u64, length: u64) -> std::io::Result<Segment> {
    let mut found = Segment::default();
    let Some(header) = element(file, base)? else { return Ok(found) };
    let Some(segment) = (match header.end {
        Some(end) => element(file, end)?,
        None => None,
    }) else {
        return Ok(found);
    };
    if segment.id != SEGMENT {
        return Ok(found);
    }
    found.missing = segment.end.map_or(0, |end| end.saturating_sub(length));
    let end = segment.end.unwrap_or(length).min(length);
    let Some(cluster) = last(file, segment.body, end, CLUSTER)? else { return Ok(found) };
    let Some(group) = last(file, cluster.body, cluster.end.unwrap_or(end).min(end), BLOCK_GROUP)? else {
        return Ok(found);
    };
    let last_of_group = group.end.unwrap_or(end).min(end);
    if let Some(padding) = last(file, group.body, last_of_group, DISCARD_PADDING)? {
        let size = padding.end.map_or(0, |end| end - padding.body).min(8) as usize;
        let bytes = read_at(file, padding.body, size)?;
        let nanoseconds = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let seconds = nanoseconds as f64 / 1e9;
        found.padding_s = if seconds <= LONGEST { seconds } else { 0.0 };
    }
    Ok(found)
}

struct Element {
    id: u32,
    /// Where its body begins.
    body: u64,
    /// Where it ends, unless it says that it doesn't know.
    end: Option<u64>,
}

/// The last element of this name between two places, if elements of known size lead to it.
fn last(file: &mut File, mut at: u64, end: u64, id: u32) -> std::io::Result<Option<Element>> {
    let mut found = None;
    for _ in 0..MAX_ELEMENTS {
        if at >= end {
            break;
        }
        let Some(element) = element(file, at)? else { break };
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

fn element(file: &mut File, at: u64) -> std::io::Result<Option<Element>> {
    let bytes = read_at(file, at, HEADER)?;
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
    use super::*;
    use std::io::Write;

    fn read_bytes(bytes: &[u8]) -> Segment {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(bytes).expect("written");
        read(&mut file, 0, bytes.len() as u64).expect("read")
    }

    #[test]
    fn the_padding_of_the_last_group_is_found() {
        let mut bytes = b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\xff".to_vec();
        bytes.extend(b"\x1f\x43\xb6\x75\x83old");
        bytes.extend(b"\x1f\x43\xb6\x75\x91\xa3\x84soun\xa0\x89\xa1\x82bl\x75\xa2\x82\x27\x10");
        assert_eq!(read_bytes(&bytes), Segment { missing: 0, padding_s: 10e-6 });
    }

    #[test]
    fn a_segment_past_the_end_is_counted() {
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\x41\x00body").missing, 252);
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\xff").missing, 0);
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3").missing, 0);
    }
}
