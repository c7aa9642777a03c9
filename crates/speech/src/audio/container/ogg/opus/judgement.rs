//! Which times of a stream's pages are believed.

use super::{LONGEST_PACKET, Page};

/// Ticks of a second.
const SECOND: u64 = 48_000;
/// Ticks of a gap, an hour, that is not believed of the last page alone.
const UNCONFIRMED: i64 = 3_600 * 48_000;
/// Packets at the end that may be padding.
const PADDED_PACKETS: u64 = 3;
/// Ticks by which a page may advance by less than its packets: rounding. Of longer pages, the share.
const ROUNDING: (u64, u64) = (720, 20);
/// Pages after which a wrong time is no more told from a gap, and times that began anew are followed.
const SURE: usize = 3;
/// Share of its pages that may contradict in a stream whose other pages are believed: one in so many.
const CONTRADICTED: usize = 3;
/// Share of all ticks by which pages may fall behind their packets in all: one in so many.
const BEHIND: u64 = 50;
/// Pages that tell another unit from gaps, and how many in a hundred of them must have the same one.
const SAME_UNIT: (usize, usize) = (8, 90);
/// Ticks for a tick: units between are those of a discontinuous transmission, which has a packet each 0.4 s.
const UNITS: [std::ops::RangeInclusive<f64>; 2] = [1.02..=4.2, 200.0..=f64::INFINITY];

/// What is believed of a stream's times.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Ticks at which the first packet begins.
    pub(super) begin: i64,
    /// Ticks of silence before each page.
    pub(super) gaps: Vec<u64>,
    /// Ticks of padding at the end.
    pub(super) cut: u64,
    pub(super) believed: bool,
    /// Pages that contradict others.
    pub(super) contradicted: usize,
}

/// A time that is believed: a granule position, and the ticks of all packets up to there.
#[derive(Debug, Clone, Copy)]
struct Base {
    end: u64,
    ticks: u64,
}

impl Base {
    /// Ticks by which a later page is later than its packets; negative where it is earlier.
    fn gap_to(self, other: Self) -> i64 {
        let passed = other.end.wrapping_sub(self.end).cast_signed();
        passed.saturating_sub((other.ticks - self.ticks).cast_signed())
    }

    /// The same, unless the page is too early.
    fn plausible_gap_to(self, other: Self) -> Option<i64> {
        let rounding = ROUNDING.0.max((other.ticks - self.ticks) / ROUNDING.1).cast_signed();
        Some(self.gap_to(other)).filter(|gap| *gap >= -rounding)
    }
}

impl Judgement {
    pub(super) fn of(pages: &[Page]) -> Self {
        let mut found = Self { gaps: vec![0; pages.len()], ..Self::default() };
        let (mut base, mut first): (Option<Base>, Option<Base>) = (None, None);
        // A page with a long gap before it, and what was believed before.
        let mut jump: Option<(usize, Option<Base>)> = None;
        // Times that contradict what is believed, but not each other.
        let mut anew: Option<(Base, usize)> = None;
        let (mut ticks, mut behind, mut timed) = (0, 0, 0);
        for (number, page) in pages.iter().enumerate() {
            ticks += page.ticks;
            let Some(end) = page.end else { continue };
            timed += 1;
            let here = Base { end, ticks };
            if number + 1 == pages.len() && page.is_last && found.take_last(base, here, page) {
                continue;
            }
            let Some(before) = base else {
                // Before the first page is nothing but the delay of the encoder.
                if end + LONGEST_PACKET < ticks {
                    found.contradicted += 1;
                    continue;
                }
                (base, first, jump) = (Some(here), Some(here), Some((number, None)));
                continue;
            };
            let next = next_time(&pages[number + 1..], ticks);
            if let Some(gap) = before.plausible_gap_to(here)
                && (gap < UNCONFIRMED || next.is_some())
            {
                found.gaps[number] = gap.max(0).cast_unsigned();
                behind += (-gap).max(0).cast_unsigned();
                if gap > SECOND.cast_signed() {
                    jump = Some((number, Some(before)));
                }
                (base, anew) = (Some(here), None);
                continue;
            }
            found.contradicted += 1;
            let behind_jump = jump.filter(|(at, _)| number - at <= SURE).and_then(|(at, jumped_from)| {
                let gap = jumped_from.map_or(Some(0), |from| from.plausible_gap_to(here))?;
                // The page behind follows this one, rather than those since the jump.
                let follows =
                    next.is_none_or(|next| match (here.plausible_gap_to(next), before.plausible_gap_to(next)) {
                        (Some(gap), Some(other)) => gap.abs() <= other.abs(),
                        (gap, _) => gap.is_some(),
                    });
                follows.then_some((at, gap, jumped_from.is_none()))
            });
            if let Some((at, gap, is_first)) = behind_jump {
                // Not this page is wrong, but those since the jump.
                found.gaps[at..number].fill(0);
                found.gaps[number] = gap.max(0).cast_unsigned();
                found.contradicted += number - at - 1;
                if is_first {
                    first = Some(here);
                }
                (base, jump, anew) = (Some(here), None, None);
                continue;
            }
            let run = anew.filter(|(other, _)| other.plausible_gap_to(here).is_some()).map_or(1, |(_, run)| run + 1);
            anew = Some((here, run));
            if run >= SURE {
                (base, anew) = (Some(here), None);
            }
        }
        found.believed = timed > 0
            && found.contradicted * CONTRADICTED < timed
            && behind <= ticks / BEHIND + LONGEST_PACKET
            && !counts_otherwise(pages);
        if !found.believed {
            let contradicted = found.contradicted;
            return Self { gaps: vec![0; pages.len()], contradicted, ..Self::default() };
        }
        found.begin = first.map_or(0, |first| first.end.saturating_sub(first.ticks).cast_signed());
        found
    }

    /// Takes the padding from the last page. False where it has none.
    fn take_last(&mut self, base: Option<Base>, last: Base, page: &Page) -> bool {
        let base = base.unwrap_or(Base { end: 0, ticks: 0 });
        let cut = base.gap_to(last).saturating_neg();
        // Encoders fill up the last packet, and may add one for what they look ahead.
        let most = (page.ticks / u64::from(page.packets.max(1)) * PADDED_PACKETS).max(LONGEST_PACKET).min(page.ticks);
        if last.end == 0 || cut <= 0 || cut.cast_unsigned() > most {
            return false;
        }
        self.cut = cut.cast_unsigned();
        true
    }
}

/// The time of the first of these pages that has one, behind so many ticks of packets.
fn next_time(pages: &[Page], mut ticks: u64) -> Option<Base> {
    pages.iter().take(SURE).find_map(|page| {
        ticks += page.ticks;
        Some(Base { end: page.end?, ticks })
    })
}

/// Whether the pages have times in another unit: nearly all of them advance by the same multiple of their packets.
fn counts_otherwise(pages: &[Page]) -> bool {
    let unit = |pair: &[Page]| {
        let passed = pair[1].end?.checked_sub(pair[0].end?)?;
        (pair[1].ticks > 0).then(|| passed as f64 / pair[1].ticks as f64)
    };
    let mut units: Vec<f64> = pages.windows(2).filter_map(unit).collect();
    if units.len() < SAME_UNIT.0 {
        return false;
    }
    units.sort_by(f64::total_cmp);
    let median = units[units.len() / 2];
    let same = units.iter().filter(|unit| (*unit / median - 1.0).abs() < 0.01).count();
    UNITS.iter().any(|range| range.contains(&median)) && same * 100 >= units.len() * SAME_UNIT.1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of 20 packets of 20 ms with these times in packets; of `None`, without one. The last is marked.
    fn pages(ends: impl IntoIterator<Item = Option<u64>>) -> Vec<Page> {
        let page =
            |end: Option<u64>| Page { packets: 20, ticks: 19_200, end: end.map(|end| end * 960), is_last: false };
        let mut pages: Vec<Page> = ends.into_iter().map(page).collect();
        pages.last_mut().expect("a page").is_last = true;
        pages
    }

    /// Gaps in packets, the cut in packets, and pages that contradict; `None` where the times are not believed.
    fn judged(ends: impl IntoIterator<Item = Option<u64>>) -> Option<(Vec<u64>, u64, usize)> {
        let found = Judgement::of(&pages(ends));
        let gaps = found.gaps.iter().map(|gap| gap / 960).collect();
        found.believed.then_some((gaps, found.cut / 960, found.contradicted))
    }

    fn of(ends: &[u64]) -> Option<(Vec<u64>, u64, usize)> {
        judged(ends.iter().map(|end| Some(*end)))
    }

    #[test]
    fn gaps_are_believed_and_padding_is_cut_from_the_last_page_alone() {
        assert_eq!(of(&[20, 40, 60, 80]), Some((vec![0; 4], 0, 0)));
        assert_eq!(of(&[20, 40, 160, 175]), Some((vec![0, 0, 100, 0], 5, 0)));
        assert_eq!(of(&[20, 40, 50]), None, "half of a page is no padding");
        assert_eq!(of(&[15]), Some((vec![0], 5, 0)));
        assert_eq!(of(&[1_020, 1_040, 1_060]), Some((vec![0; 3], 0, 0)), "a stream that is joined late");
        assert_eq!(Judgement::of(&pages([Some(1_020), Some(1_040)])).begin, 1_000 * 960);
        // Half of the packets are lost, page by page, and a discontinuous transmission.
        assert_eq!(of(&[20, 60, 80, 130, 150]), Some((vec![0, 20, 0, 30, 0], 0, 0)));
        let sparse: Vec<u64> = (1..40).map(|page| page * 20 * 20).collect();
        assert_eq!(of(&sparse).map(|(gaps, ..)| gaps[1..].to_vec()), Some(vec![380; 38]));
    }

    #[test]
    fn times_that_contradict_the_packets_are_not_believed() {
        assert_eq!(of(&[0; 30]), None);
        assert_eq!(of(&[0, 0]), None);
        assert_eq!(judged([None; 5]), None);
        for (numerator, denominator) in [(1, 3), (1, 6), (1, 2), (9, 10), (2, 1), (7, 4), (20_833, 1)] {
            let counted = (1..=30u64).map(|page| Some(page * 20 * numerator / denominator));
            assert_eq!(judged(counted), None, "{numerator}/{denominator}");
        }
        let noise = (1..30u64).map(|page| Some(page.wrapping_mul(2_654_435_761) % 100_000));
        assert_eq!(judged(noise), None);
    }

    #[test]
    fn single_wrong_times_are_passed_over_and_those_that_begin_anew_are_followed() {
        let right = (vec![0, 0, 0, 100, 0, 0, 0, 0, 0, 0], 5);
        let ends = [20, 40, 60, 180, 200, 220, 240, 260, 280, 295];
        let with = |changes: &[(usize, Option<u64>)]| {
            let mut ends = ends.map(Some);
            for (page, end) in changes {
                ends[*page] = *end;
            }
            judged(ends).map(|(gaps, cut, _)| (gaps, cut))
        };
        for changes in [
            &[][..],
            &[(1, None)],
            &[(1, Some(0))],
            &[(1, Some(7))],
            &[(2, Some(0))],
            &[(1, Some(0)), (2, Some(0))],
            &[(5, Some(900_000_000))],
            &[(5, Some(900_000_000)), (6, Some(900_000_020))],
            &[(0, Some(900_000_000))],
            &[(5, None), (6, None), (7, None)],
        ] {
            assert_eq!(with(changes), Some(right.clone()), "{changes:?}");
        }
        // The last page alone can't be confirmed: its padding is not known.
        assert_eq!(with(&[(9, Some(900_000_000))]), Some((right.0.clone(), 0)));
        // Where the page with the gap has no time, the gap is before the next.
        assert_eq!(with(&[(3, None)]).map(|(gaps, _)| gaps[3..5].to_vec()), Some(vec![0, 100]));
        // From 0 again, and a gap behind.
        let anew = [1_020, 1_040, 1_060, 20, 40, 60, 80, 180, 200, 220];
        assert_eq!(of(&anew).map(|(gaps, ..)| gaps), Some(vec![0, 0, 0, 0, 0, 0, 0, 80, 0, 0]));
    }
}
