//! The fragments of a live recording: `moof` boxes, each with the places of the packets that follow it.

use super::boxes::{boxes, inside};
use super::table::Sample;
use crate::audio::bytes::{be32, be64};

/// Packets of one fragment that are followed: an hour of packets of 5 ms.
const MAX_SAMPLES: usize = 1 << 20;

/// Values of packets that a fragment leaves out, of a `trex` box.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Defaults {
    duration: u32,
    size: u32,
}

impl Defaults {
    /// Of this track, in a `moov` box.
    pub(super) fn read(moov: &[u8], track: u32) -> Self {
        let extends = inside(moov, &[b"mvex"]).unwrap_or_default();
        let found = boxes(extends).find(|(kind, trex)| *kind == b"trex" && be32(trex, 4) == Some(track));
        let value = |at| found.and_then(|(_, trex)| be32(trex, at)).unwrap_or(0);
        Self { duration: value(12), size: value(16) }
    }
}

/// The packets of a track in a `moof` box.
///
/// `begin`: bytes from the file's beginning to the box. `time`: ticks at its end of the fragment before.
pub(super) fn samples(moof: &[u8], begin: u64, track: u32, defaults: Defaults, time: u64) -> Vec<Sample> {
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
            let Some(end) = run(trun, base, data_end, &header, &mut time, kept) else { break };
            data_end = end;
        }
    }
    found
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

/// Reads a `trun` box; gives where its data ends.
fn run(
    trun: &[u8],
    base: u64,
    follows: u64,
    header: &Header,
    time: &mut u64,
    mut kept: Option<&mut Vec<Sample>>,
) -> Option<u64> {
    let (flags, count) = (be32(trun, 0)?, be32(trun, 4)? as usize);
    let mut at = 8;
    let mut offset = follows;
    if flags & 0x1 != 0 {
        offset = base.checked_add_signed(i64::from(be32(trun, at)?.cast_signed()))?;
        at += 4;
    }
    if flags & 0x4 != 0 {
        at += 4;
    }
    for _ in 0..count.min(MAX_SAMPLES) {
        let mut field = |flag: u32| {
            (flags & flag != 0).then(|| {
                at += 4;
                be32(trun, at - 4)
            })
        };
        let duration = field(0x100).unwrap_or(Some(header.defaults.duration))?;
        let size = field(0x200).unwrap_or(Some(header.defaults.size))?;
        field(0x400);
        field(0x800);
        if let Some(kept) = &mut kept {
            if kept.len() >= MAX_SAMPLES {
                return None;
            }
            kept.push(Sample { offset, size, time: *time, duration: duration.into() });
            *time = time.saturating_add(duration.into());
        }
        offset = offset.checked_add(size.into())?;
    }
    Some(offset)
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
            [sample(1_600, 10, 48_000, 960), sample(1_610, 20, 48_960, 960), sample(1_630, 30, 49_920, 480)]
        );
    }

    #[test]
    fn a_run_of_four_billion_packets_without_bytes_ends_soon() {
        let traf = [boxed(*b"tfhd", &numbers(&[0, 1])), boxed(*b"trun", &numbers(&[0, u32::MAX]))].concat();
        let moof = [boxed(*b"traf", &traf), boxed(*b"traf", &traf)].concat();
        assert_eq!(samples(&moof, 0, 1, Defaults::default(), 0).len(), MAX_SAMPLES);
    }
}
