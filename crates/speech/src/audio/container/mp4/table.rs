//! Where a track's samples are, by the tables of its `stbl` box. MP4 calls a packet a sample; QuickTime calls a sample
//! of PCM so.

use super::boxes::inside;
use crate::audio::bytes::{be16, be32, be64};
use crate::audio::codec::Blocks;

/// Packets that are followed: a day of packets of 5 ms. A table of a few bytes can announce four billion.
const MAX_PACKETS: u32 = 20_000_000;
/// Samples of PCM in one packet.
const PCM_PACKET: u32 = 2_048;

/// A packet's place in the file and in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Bytes from the file's beginning.
    pub(super) offset: u64,
    pub(super) size: u32,
    /// Ticks.
    pub(super) time: u64,
    /// Ticks.
    pub(super) duration: u64,
}

/// The tables, as they are in the file: those of a long recording are large.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// `stts`: how many samples last how long.
    times: Vec<u8>,
    /// `stsc`: from which chunk on chunks have how many samples.
    groups: Vec<u8>,
    sizes: Sizes,
    /// `stco` or `co64`: where chunks begin.
    chunks: Vec<u8>,
    /// Whether offsets have eight bytes.
    wide: bool,
    /// Set where several samples make one packet: QuickTime's PCM, and codecs in blocks.
    grouped: Option<Grouped>,
}

#[derive(Debug, Default)]
struct Sizes {
    /// Of all samples; 0 where each has its own.
    constant: u32,
    count: u32,
    /// Bits of an entry.
    bits: u8,
    each: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Grouped {
    /// The table's samples of one block.
    samples: u32,
    /// Bytes of one block.
    bytes: u32,
    /// Blocks of one packet at most.
    most: u32,
}

impl Sizes {
    fn read(stbl: &[u8]) -> Option<Self> {
        if let Some(stsz) = inside(stbl, &[b"stsz"]) {
            let (constant, count) = (be32(stsz, 4)?, be32(stsz, 8)?);
            return Some(Self { constant, count, bits: 32, each: stsz.get(12..)?.to_vec() });
        }
        let stz2 = inside(stbl, &[b"stz2"])?;
        Some(Self { constant: 0, count: be32(stz2, 8)?, bits: *stz2.get(7)?, each: stz2.get(12..)?.to_vec() })
    }

    fn of(&self, number: u32) -> Option<u32> {
        let at = number as usize;
        match (self.constant, self.bits) {
            (1.., _) => Some(self.constant),
            (0, 4) => self.each.get(at / 2).map(|byte| u32::from(byte >> (4 * (1 - at % 2)) & 15)),
            (0, 8) => self.each.get(at).map(|byte| u32::from(*byte)),
            (0, 16) => be16(&self.each, at * 2).map(u32::from),
            (0, _) => be32(&self.each, at.checked_mul(4)?),
        }
    }
}

impl Table {
    /// Of a `stbl` box. `frame`: what the codec's smallest unit is, where packets have no structure of their own.
    pub(super) fn read(stbl: &[u8], frame: Option<Blocks>) -> Option<Self> {
        let entries = |kind: &[u8; 4]| inside(stbl, &[kind]).and_then(|table| table.get(8..)).map(<[u8]>::to_vec);
        let wide = inside(stbl, &[b"co64"]).is_some();
        let sizes = Sizes::read(stbl)?;
        // A sample of the table is one of the sound, as QuickTime has it, unless it is as long as a block.
        let grouped = frame.filter(|_| sizes.constant > 0).map(|Blocks { bytes, frames }| Grouped {
            samples: if sizes.constant == bytes && frames > 1 { 1 } else { frames },
            bytes,
            most: (PCM_PACKET / frames.max(1)).max(1),
        });
        Some(Self {
            times: entries(b"stts")?,
            groups: entries(b"stsc")?,
            sizes,
            chunks: entries(if wide { b"co64" } else { b"stco" }).unwrap_or_default(),
            wide,
            grouped,
        })
    }

    /// The sample descriptions that are used, each once, numbered from 1.
    pub(super) fn descriptions(stbl: &[u8]) -> Vec<u32> {
        let groups = inside(stbl, &[b"stsc"]).and_then(|stsc| stsc.get(8..)).unwrap_or_default();
        let mut used: Vec<u32> = groups.as_chunks::<12>().0.iter().filter_map(|group| be32(group, 8)).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    fn chunk(&self, number: u32) -> Option<u64> {
        let at = number as usize;
        if self.wide { be64(&self.chunks, at * 8) } else { be32(&self.chunks, at * 4).map(u64::from) }
    }
}

/// A position in a table.
#[derive(Debug, Default, Clone)]
pub(super) struct Cursor {
    /// Packets passed.
    packets: u32,
    /// Samples passed.
    sample: u32,
    /// Ticks passed.
    time: u64,
    /// The run of equal durations: its number, and the samples left in it.
    run: usize,
    run_left: Option<u32>,
    chunk: u32,
    group: usize,
    /// Samples left in the chunk, and where the next one is.
    chunk_left: u32,
    offset: u64,
}

impl Cursor {
    /// The next packet; `None` behind the last.
    pub(super) fn next(&mut self, table: &Table) -> Option<Sample> {
        while self.chunk_left == 0 {
            self.next_chunk(table)?;
        }
        if self.sample >= table.sizes.count || self.packets >= MAX_PACKETS {
            return None;
        }
        self.packets += 1;
        let (samples, size) = match table.grouped {
            Some(Grouped { samples, bytes, most }) => {
                let blocks = (self.chunk_left.min(table.sizes.count - self.sample) / samples.max(1)).min(most);
                // What is left of a chunk is less than a block: padding.
                let count = if blocks == 0 { self.chunk_left } else { blocks * samples };
                (count, blocks.checked_mul(bytes)?)
            }
            None => (1, table.sizes.of(self.sample)?),
        };
        let (offset, time) = (self.offset, self.time);
        self.pass(table, samples);
        self.offset = offset.checked_add(size.into())?;
        Some(Sample { offset, size, time, duration: self.time - time })
    }

    /// Counts samples as passed.
    fn pass(&mut self, table: &Table, samples: u32) {
        self.sample = self.sample.saturating_add(samples);
        self.chunk_left = self.chunk_left.saturating_sub(samples);
        let mut left = samples;
        while left > 0 {
            let (Some(count), Some(ticks)) = (be32(&table.times, self.run * 8), be32(&table.times, self.run * 8 + 4))
            else {
                break;
            };
            let run_left = self.run_left.get_or_insert(count);
            let taken = left.min(*run_left);
            *run_left -= taken;
            left -= taken;
            self.time = self.time.saturating_add(u64::from(taken) * u64::from(ticks));
            if *run_left == 0 {
                (self.run, self.run_left) = (self.run + 1, None);
            }
        }
    }

    fn next_chunk(&mut self, table: &Table) -> Option<()> {
        let first_of = |group: usize| be32(&table.groups, group * 12);
        while first_of(self.group + 1).is_some_and(|first| first <= self.chunk + 1) {
            self.group += 1;
        }
        self.chunk_left = be32(&table.groups, self.group * 12 + 4)?;
        self.offset = table.chunk(self.chunk)?;
        self.chunk = self.chunk.checked_add(1)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::boxed;
    use super::*;

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// Chunks at 100, 200 and 300: two with three samples each, one with two.
    fn stbl(sizes: &[u32]) -> Vec<u8> {
        [
            boxed(*b"stts", &numbers(&[0, 2, 2, 10, 6, 20])),
            boxed(*b"stsc", &numbers(&[0, 2, 1, 3, 1, 3, 2, 1])),
            boxed(*b"stsz", &numbers(sizes)),
            boxed(*b"stco", &numbers(&[0, 3, 100, 200, 300])),
        ]
        .concat()
    }

    fn all(table: &Table) -> Vec<Sample> {
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| cursor.next(table)).collect()
    }

    fn sample(offset: u64, size: u32, time: u64, duration: u64) -> Sample {
        Sample { offset, size, time, duration }
    }

    #[test]
    fn packets_follow_each_other_within_chunks() {
        let table = Table::read(&stbl(&[0, 0, 8, 5, 6, 7, 5, 6, 7, 5, 6]), None).expect("a table");
        let found = all(&table);
        assert_eq!(found.len(), 8);
        assert_eq!(found[..2], [sample(100, 5, 0, 10), sample(105, 6, 10, 10)]);
        assert_eq!(found[6..], [sample(300, 5, 100, 20), sample(305, 6, 120, 20)]);
    }

    #[test]
    fn samples_of_pcm_are_a_packet_for_each_chunk() {
        let pcm = Blocks { bytes: 2, frames: 1 };
        let table = Table::read(&stbl(&[0, 2, 8]), Some(pcm)).expect("a table");
        assert_eq!(all(&table), [sample(100, 6, 0, 40), sample(200, 6, 40, 60), sample(300, 4, 100, 40)]);
        // Blocks of three samples in five bytes; two samples are left over.
        let blocks = Blocks { bytes: 5, frames: 3 };
        let table = Table::read(&stbl(&[0, 1, 8]), Some(blocks)).expect("a table");
        assert_eq!(all(&table), [sample(100, 5, 0, 40), sample(200, 5, 40, 60), sample(300, 0, 100, 40)]);
    }
}
