//! The blocks of Matroska's clusters, wherever these end: the times of each track's first and last, and what is to be
//! discarded of single packets.

use super::Input;
use super::ebml::{self, Element, vint};
use super::matroska::{BLOCK, BLOCK_GROUP, CLUSTER, DISCARD_PADDING, EBML, SEGMENT, SIMPLE_BLOCK, TIMESTAMP};
use super::window::Window;
use crate::audio::bytes::be16;
use domain::Failure;
use std::collections::HashMap;

/// Elements walked over at most: a day of packets of 60 ms.
const MAX_ELEMENTS: usize = 1_500_000;
/// Elements of a block group walked over at most: the specification has a dozen.
const MAX_GROUP_ELEMENTS: usize = 32;
/// Bytes read at a time: where packets of pictures are between those of sound, few.
const READ: usize = 16 * 1024;
/// Longest padding that is believed, nanoseconds: eight times the longest packet of Opus, since others have longer ones.
const MAX_PADDING_NS: i64 = 960_000_000;

/// What is to be discarded of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audio) struct Discard {
    /// Number of the packet in its track, from 0.
    pub packet: u64,
    /// Nanoseconds: at its end or, where it is negative, at its beginning.
    pub padding_ns: i64,
}

/// The blocks of one track.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Blocks {
    packets: u64,
    /// Ticks of the segment, of the first and of the last block.
    times: Option<(i64, i64)>,
    pub(super) discards: Vec<Discard>,
}

impl Blocks {
    /// Ticks from the first block to the last.
    pub(super) fn ticks(&self) -> Option<i64> {
        self.times.and_then(|(first, last)| last.checked_sub(first))
    }

    fn add(&mut self, time: i64, packets: u64, padding_ns: i64) {
        self.packets += packets;
        let (first, _) = *self.times.get_or_insert((time, time));
        self.times = Some((first, time));
        if padding_ns != 0 && padding_ns.saturating_abs() <= MAX_PADDING_NS && packets > 0 {
            // Of several packets in a block, the padding is at its end, or its beginning.
            let packet = if padding_ns > 0 { self.packets - 1 } else { self.packets - packets };
            self.discards.push(Discard { packet, padding_ns });
        }
    }
}

/// The blocks of these tracks, by their number, in the clusters from this one on; and where bytes begin that are no
/// elements, if there are any. Blocks of other tracks are passed over: a file can name any number of them.
pub(super) fn read(
    input: &mut Input,
    tracks: impl IntoIterator<Item = u64>,
    first: &Element,
    end: u64,
) -> Result<(HashMap<u64, Blocks>, Option<u64>), Failure> {
    let mut found: HashMap<u64, Blocks> = tracks.into_iter().map(|track| (track, Blocks::default())).collect();
    let mut window = Window::new(READ);
    // Of the present cluster: its ticks, and its end where that is known.
    let (mut at, mut cluster_time, mut cluster_end) = (first.body, 0i64, first.end.filter(|behind| *behind <= end));
    for _ in 0..MAX_ELEMENTS {
        let element = element(input, &mut window, at, cluster_end.unwrap_or(end))?;
        // Behind the last element of a cluster, and where bytes in it are none, the next element of the segment comes.
        let inside = element.filter(|element| cluster_end.is_none() || element.end <= cluster_end);
        let element = match (inside, cluster_end.take()) {
            (Some(element), of_cluster) => {
                cluster_end = of_cluster;
                element
            }
            (None, Some(behind)) => {
                at = behind;
                continue;
            }
            (None, None) => return Ok((found, Some(at).filter(|at| *at < end))),
        };
        let body = element.body;
        match element.id {
            // Its elements come next, and those of the segment behind them, whether their sizes are known or not.
            CLUSTER => {
                (at, cluster_end) = (body, element.end.filter(|behind| *behind <= end));
                continue;
            }
            EBML | SEGMENT => break,
            TIMESTAMP => cluster_time = number(input, &mut window, &element)?.cast_signed(),
            SIMPLE_BLOCK => {
                if let Some((track, time, packets)) = block(window.read(input, body, BLOCK_HEADER)?)
                    && let Some(blocks) = found.get_mut(&track)
                {
                    blocks.add(cluster_time.saturating_add(time), packets, 0);
                }
            }
            BLOCK_GROUP => {
                let (mut header, mut padding_ns, mut at) = (None, 0, body);
                let end = element.end.unwrap_or(end).min(end);
                for _ in 0..MAX_GROUP_ELEMENTS {
                    let Some(child) = self::element(input, &mut window, at, end)? else { break };
                    match child.id {
                        BLOCK => header = block(window.read(input, child.body, BLOCK_HEADER)?),
                        DISCARD_PADDING => padding_ns = signed(input, &mut window, &child)?,
                        _ => {}
                    }
                    let Some(next) = child.end else { break };
                    at = next;
                }
                if let Some((track, time, packets)) = header
                    && let Some(blocks) = found.get_mut(&track)
                {
                    blocks.add(cluster_time.saturating_add(time), packets, padding_ns);
                }
            }
            _ => {}
        }
        let Some(next) = element.end.filter(|next| *next > at) else { break };
        at = next;
    }
    Ok((found, None))
}

/// Most bytes of a block's header, with the number of its packets.
const BLOCK_HEADER: usize = 12;

/// The track of a block, its ticks from its cluster on, and the number of its packets.
fn block(header: &[u8]) -> Option<(u64, i64, u64)> {
    let (track, length) = vint(header)?;
    let time = be16(header, length)?.cast_signed();
    let is_laced = header.get(length + 2)? & 6 != 0;
    let packets = if is_laced { u64::from(*header.get(length + 3)?) + 1 } else { 1 };
    Some((track, time.into(), packets))
}

/// The element at an offset before `end`.
fn element(input: &mut Input, window: &mut Window, at: u64, end: u64) -> Result<Option<Element>, Failure> {
    if at >= end {
        return Ok(None);
    }
    Ok(ebml::parse(window.read(input, at, ebml::HEADER)?, at))
}

/// The bytes of a number.
fn bytes<'a>(input: &mut Input, window: &'a mut Window, element: &Element) -> Result<&'a [u8], Failure> {
    let size = element.end.map_or(0, |end| end - element.body).min(8) as usize;
    window.read(input, element.body, size)
}

fn number(input: &mut Input, window: &mut Window, element: &Element) -> Result<u64, Failure> {
    bytes(input, window, element).map(ebml::number)
}

fn signed(input: &mut Input, window: &mut Window, element: &Element) -> Result<i64, Failure> {
    let bytes = bytes(input, window, element)?;
    let unused = 64 - 8 * bytes.len() as u32;
    Ok(ebml::number(bytes).checked_shl(unused).map_or(0, |number| number.cast_signed() >> unused))
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;

    fn found(bytes: &[u8]) -> HashMap<u64, Blocks> {
        let mut input = input(bytes);
        let first = ebml::element(&mut input, 0).expect("read").expect("a cluster");
        read(&mut input, [2, 3], &first, bytes.len() as u64).expect("read").0
    }

    #[test]
    fn blocks_are_counted_whether_the_sizes_of_clusters_are_known_or_not() {
        for size in [b'\xff', b'\xaa'] {
            let mut bytes = vec![0x1f, 0x43, 0xb6, 0x75, size];
            // A cluster at 16 ms: two laced packets of track 2, one of track 3 with 5 ms to be discarded at its beginning.
            bytes.extend(b"\xe7\x81\x10\xa3\x86\x82\x00\x01\x02\x01x");
            bytes.extend(b"\xa0\x8e\xa1\x85\x83\x00\x02\x00x\x75\xa2\x84\xff\xb3\xb4\xc0");
            // Track 2 again, 10 ms at its end.
            bytes.extend(b"\xa0\x8d\xa1\x85\x82\x00\x09\x00x\x75\xa2\x83\x98\x96\x80");
            if size == b'\xaa' {
                bytes[4] = 0x80 | (bytes.len() - 5) as u8;
            }
            bytes.extend(b"\x1f\x43\xb6\x75\xff\xe7\x81\x20\xa3\x85\x82\x00\x01\x00x");
            // A track that nobody reads.
            bytes.extend(b"\xa3\x85\x84\x00\x01\x00x");
            let found = found(&bytes);
            assert_eq!(found.len(), 2);
            let (two, three) = (&found[&2], &found[&3]);
            assert_eq!((two.packets, two.ticks()), (4, Some(16)));
            assert_eq!(three.discards, [Discard { packet: 0, padding_ns: -5_000_000 }]);
            assert_eq!(two.discards.len(), 1, "{two:?}");
        }
    }
}
