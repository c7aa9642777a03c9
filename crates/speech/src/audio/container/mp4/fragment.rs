//! The fragments of a live recording: `moof` boxes, each with the places of the packets that follow it.

use super::boxes::{boxes, inside};
use super::table::Sample;
use crate::audio::bytes::{be32, be64};
use std::collections::HashMap;

/// Most packets of one fragment: an hour of packets of 5 ms.
const MAX_SAMPLES: usize = 1 << 20;

/// A fragment has more packets than are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyPackets;

impl TooManyPackets {
    /// What is wrong, for people.
    pub(super) const TEXT: &str = "a fragment of the MP4 file has more than 1,048,576 packets";
}

/// Values of packets that a fragment leaves out, of a `trex` box.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Defaults {
    duration: u32,
    size: u32,
}

impl Defaults {
    /// Of all tracks in a `moov` box, by the tracks' numbers. One pass, however many tracks ask.
    pub(super) fn read(moov: &[u8]) -> HashMap<u32, Self> {
        let extends = inside(moov, &[b"mvex"]).unwrap_or_default();
        let mut found = HashMap::new();
        for (_, trex) in boxes(extends).filter(|(kind, _)| kind == b"trex") {
            let Some(track) = be32(trex, 4) else { continue };
            let value = |at| be32(trex, at).unwrap_or(0);
            found.entry(track).or_insert(Self { duration: value(12), size: value(16) });
        }
        found
    }
}

/// The packets of a track in a `moof` box.
///
/// `begin`: bytes from the file's beginning to the box. `time`: ticks at its end of the fragment before.
///
/// # Errors
/// When there are more than [`MAX_SAMPLES`]: the rest of the fragment would be lost.
pub(super) fn samples(
    moof: &[u8],
    begin: u64,
    track: u32,
    defaults: Defaults,
    time: u64,
) -> Result<Vec<Sample>, TooManyPackets> {
    let (mut found, mut data_end, mut time) = (Vec::new(), begin, time);
    for (_, traf) in boxes(moof).filter(|(kind, _)| kind == b"traf") {
        let Some(header) = inside(traf, &[b"tfhd"]).and_then(|tfhd| Header::read(tfhd, defaults)) else { continue };
        if let (true, Some(decoded)) = (header.track == track, inside(traf, &[b"tfdt"]).and_then(decode_time)) {
            time = decoded;
        }
        // Without a base, data follows that of the track before.
        let base = header.base.unwrap_or(if header.from_moof { begin } else { data_end });
        data_end = base;
        for (_, trun) in boxes(traf).filter(|(kind, _)| kind == b"trun") {
            let kept = (header.track == track).then_some(&mut found);
            let Some(end) = run(trun, base, data_end, &header, &mut time, kept)? else { break };
            data_end = end;
        }
    }
    Ok(found)
}

/// Ticks of a `tfdt` box.
fn decode_time(tfdt: &[u8]) -> Option<u64> {
    if *tfdt.first()? == 1 { be64(tfdt, 4) } else { be32(tfdt, 4).map(u64::from) }
}

/// A `tfhd` box.
struct Header {
    track: u32,
    base: Option<u64>,
    /// Whether offsets count from the fragment's beginning.
    from_moof: bool,
    defaults: Defaults,
}

impl Header {
    fn read(tfhd: &[u8], defaults: Defaults) -> Option<Self> {
        let (flags, track) = (be32(tfhd, 0)?, be32(tfhd, 4)?);
        let mut at = 8;
        let mut next = |flag: u32, size: usize| {
            (flags & flag != 0).then(|| {
                at += size;
                at - size
            })
        };
        let base = next(0x1, 8).and_then(|at| be64(tfhd, at));
        next(0x2, 4);
        let duration = next(0x8, 4).and_then(|at| be32(tfhd, at)).unwrap_or(defaults.duration);
        let size = next(0x10, 4).and_then(|at| be32(tfhd, at)).unwrap_or(defaults.size);
        Some(Self { track, base, from_moof: flags & 0x2_0000 != 0, defaults: Defaults { duration, size } })
    }
}

/// Reads a `trun` box; gives where its data ends, or `None` where it ends too early.
fn run(
    trun: &[u8],
    base: u64,
    follows: u64,
    header: &Header,
    time: &mut u64,
    kept: Option<&mut Vec<Sample>>,
) -> Result<Option<u64>, TooManyPackets> {
    let Some(run) = Run::read(trun, base, follows) else { return Ok(None) };
    match kept {
        Some(kept) => run.keep(header, time, kept),
        None => Ok(run.pass(header)),
    }
}

/// A `trun` box.
struct Run<'a> {
    flags: u32,
    count: u32,
    /// Where its first packet is, bytes from the file's beginning.
    offset: u64,
    /// Its table: the values of each packet that differ from the defaults.
    table: &'a [u8],
}

impl<'a> Run<'a> {
    fn read(trun: &'a [u8], base: u64, follows: u64) -> Option<Self> {
        let (flags, count) = (be32(trun, 0)?, be32(trun, 4)?);
        let mut at = 8;
        let mut offset = follows;
        if flags & 0x1 != 0 {
            offset = base.checked_add_signed(i64::from(be32(trun, at)?.cast_signed()))?;
            at += 4;
        }
        if flags & 0x4 != 0 {
            at += 4;
        }
        Some(Self { flags, count, offset, table: trun.get(at..)? })
    }

    /// Bytes of a packet's row in the table.
    fn row(&self) -> usize {
        4 * (self.flags & 0xf00).count_ones() as usize
    }

    /// The value of a row that this flag announces, or the default. The values of a row are in the order of their flags.
    fn value(&self, row: &[u8], flag: u32, default: u32) -> Option<u32> {
        let before = 4 * (self.flags & 0xf00 & (flag - 1)).count_ones() as usize;
        if self.flags & flag == 0 { Some(default) } else { be32(row, before) }
    }

    /// Adds its packets to `kept`.
    fn keep(&self, header: &Header, time: &mut u64, kept: &mut Vec<Sample>) -> Result<Option<u64>, TooManyPackets> {
        let mut offset = self.offset;
        for number in 0..self.count as usize {
            let row = self.table.get(number.saturating_mul(self.row())..).unwrap_or_default();
            let duration = self.value(row, 0x100, header.defaults.duration);
            let size = self.value(row, 0x200, header.defaults.size);
            let (Some(duration), Some(size)) = (duration, size) else { return Ok(None) };
            if kept.len() >= MAX_SAMPLES {
                return Err(TooManyPackets);
            }
            kept.push(Sample { offset, size, time: *time, duration: duration.into() });
            *time = time.saturating_add(duration.into());
            let Some(next) = offset.checked_add(size.into()) else { return Ok(None) };
            offset = next;
        }
        Ok(Some(offset))
    }

    /// Where the data of another track's run ends. As many steps as it has bytes, whatever number of packets it states.
    fn pass(&self, header: &Header) -> Option<u64> {
        if self.flags & 0x200 == 0 {
            return self.offset.checked_add(u64::from(self.count) * u64::from(header.defaults.size));
        }
        let mut rows = self.table.chunks_exact(self.row());
        (0..self.count).try_fold(self.offset, |offset, _| {
            let size = self.value(rows.next()?, 0x200, 0)?;
            offset.checked_add(size.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::boxed;
    use super::*;

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    #[test]
    fn runs_follow_each_other_and_the_time_is_the_fragments_own() {
        let other = [boxed(*b"tfhd", &numbers(&[0x2_0000, 1])), boxed(*b"trun", &numbers(&[0x201, 1, 500, 100]))];
        let ours = [
            boxed(*b"tfhd", &numbers(&[0x8, 2, 960])),
            boxed(*b"tfdt", &numbers(&[0, 48_000])),
            boxed(*b"trun", &numbers(&[0x200, 2, 10, 20])),
            boxed(*b"trun", &numbers(&[0x300, 1, 480, 30])),
        ];
        let moof = [boxed(*b"traf", &other.concat()), boxed(*b"traf", &ours.concat())].concat();
        let sample = |offset, size, time, duration| Sample { offset, size, time, duration };
        assert_eq!(
            samples(&moof, 1_000, 2, Defaults::default(), 7),
            Ok(vec![sample(1_600, 10, 48_000, 960), sample(1_610, 20, 48_960, 960), sample(1_630, 30, 49_920, 480)])
        );
    }

    #[test]
    fn a_run_of_four_billion_packets_without_bytes_is_refused_soon() {
        let traf = [boxed(*b"tfhd", &numbers(&[0, 1])), boxed(*b"trun", &numbers(&[0, u32::MAX]))].concat();
        let moof = [boxed(*b"traf", &traf), boxed(*b"traf", &traf)].concat();
        assert_eq!(samples(&moof, 0, 1, Defaults::default(), 0), Err(TooManyPackets));
        let whole = numbers(&[0, MAX_SAMPLES as u32]);
        let traf = [boxed(*b"tfhd", &numbers(&[0, 1])), boxed(*b"trun", &whole)].concat();
        let found = samples(&boxed(*b"traf", &traf), 0, 1, Defaults::default(), 0);
        assert_eq!(found.map(|found| found.len()), Ok(MAX_SAMPLES));
        assert!(TooManyPackets::TEXT.replace(',', "").contains(&MAX_SAMPLES.to_string()));
    }

    #[test]
    fn packets_of_other_tracks_are_passed_over_without_counting_them() {
        let runs = boxed(*b"trun", &numbers(&[0, u32::MAX])).repeat(65_536);
        let other = [boxed(*b"tfhd", &numbers(&[0x10, 99, 2])), runs].concat();
        let sized =
            [boxed(*b"tfhd", &numbers(&[0, 98])), boxed(*b"trun", &numbers(&[0xf00, 2, 1, 7, 1, 1, 1, 9, 1, 1]))];
        let ours = [boxed(*b"tfhd", &numbers(&[0x10, 1, 5])), boxed(*b"trun", &numbers(&[0, 1]))];
        let moof =
            [boxed(*b"traf", &other), boxed(*b"traf", &sized.concat()), boxed(*b"traf", &ours.concat())].concat();
        let begun = std::time::Instant::now();
        let found = samples(&moof, 0, 1, Defaults::default(), 0).expect("few packets of the track itself");
        assert_eq!(found, [Sample { offset: 65_536 * u64::from(u32::MAX) * 2 + 16, size: 5, time: 0, duration: 0 }]);
        // Counted one by one, they would take minutes.
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }
}
