//! Puts the packets of a stream into their places.

use super::judgement::Judgement;
use super::{Page, ticks};
use std::sync::Arc;
use symphonia_core::packet::Packet;
use symphonia_core::units::{Duration, Timestamp};

/// A page whose packets have their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Placed {
    packets: u32,
    ticks: u64,
    /// Ticks at which its first packet begins.
    begin: i64,
    /// Ticks to be cut off from its end.
    cut: u64,
}

/// When the packets of a stream are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Timeline {
    pages: Arc<[Placed]>,
    /// What is wrong with the times of its pages.
    pub(in super::super) problem: Option<String>,
}

impl Timeline {
    /// Times are of the file's making: where they add up to more than a number holds, they stay at the largest.
    pub(super) fn of(pages: &[Page], judged: &Judgement, problem: Option<String>) -> Self {
        let mut at = judged.begin;
        let place = |(page, gap): (&Page, &u64)| {
            let begin = at.saturating_add_unsigned(*gap);
            at = begin.saturating_add_unsigned(page.ticks);
            Placed { packets: page.packets, ticks: page.ticks, begin, cut: 0 }
        };
        let mut placed: Vec<Placed> = pages.iter().zip(&judged.gaps).map(place).collect();
        if let Some(last) = placed.last_mut() {
            last.cut = judged.cut;
        }
        Self { pages: placed.into(), problem }
    }

    /// Ticks from the first packet's beginning to the last one's end: packets, and silence where there are gaps.
    pub(in super::super) fn ticks(&self) -> Option<u64> {
        let (first, last) = (self.pages.first()?, self.pages.last()?);
        let end = last.begin.saturating_add_unsigned(last.ticks - last.cut);
        u64::try_from(end.saturating_sub(first.begin)).ok()
    }

    pub(in super::super) fn pager(&self) -> OpusPager {
        let at = self.pages.first().map_or(0, |page| page.begin);
        OpusPager { pages: self.pages.clone(), next: 0, at, lost: false }
    }
}

/// Puts the packets of one stream into their places, page by page.
#[derive(Debug)]
pub(in super::super) struct OpusPager {
    pages: Arc<[Placed]>,
    next: usize,
    /// Ticks at which the next packet begins if there is no gap.
    at: i64,
    /// Whether the demuxer has dropped or found packets that are on no page: packets are counted from there on.
    lost: bool,
}

impl OpusPager {
    /// How many packets the present page has.
    pub(in super::super) fn packets(&self) -> usize {
        let page = self.pages.get(self.next).filter(|_| !self.lost);
        page.map_or(1, |page| page.packets as usize)
    }

    /// Gives the packets of the present page their times and lengths, and cuts off the padding.
    pub(in super::super) fn place(&mut self, packets: &mut [Packet]) {
        let lengths: Vec<u64> = packets.iter().map(|packet| ticks(&packet.data)).collect();
        let page = self.pages.get(self.next).copied().filter(|_| !self.lost);
        self.next += 1;
        let mut cut = 0;
        if let Some(page) = page {
            self.lost = page.packets as usize != packets.len() || page.ticks != lengths.iter().sum::<u64>();
            if !self.lost {
                (self.at, cut) = (page.begin, page.cut);
            }
        }
        for (packet, length) in packets.iter_mut().zip(&lengths) {
            packet.pts = Timestamp::from(self.at);
            packet.dur = Duration::from(*length);
            (packet.trim_start, packet.trim_end) = (Duration::ZERO, Duration::ZERO);
            self.at = self.at.saturating_add_unsigned(*length);
        }
        for (packet, length) in packets.iter_mut().zip(&lengths).rev() {
            let here = cut.min(*length);
            (packet.trim_end, packet.dur) = (Duration::from(here), Duration::from(length - here));
            cut -= here;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two gaps as long as a time can be, and times that begin anew between them.
    #[test]
    fn times_that_add_up_to_more_than_a_number_holds_are_no_failure() {
        let far = i64::MAX.cast_unsigned() - 10 * 960;
        let ends = [1, 2, far, far + 1, 1, 2, 3, 4, 5, far, far + 1, far + 2];
        let page = |end: &u64| Page {
            packets: 1,
            ticks: 960,
            end: Some(end * if *end < 10 { 960 } else { 1 }),
            is_last: false,
        };
        let pages: Vec<Page> = ends.iter().map(page).collect();
        let judged =
            Judgement { gaps: vec![0, 0, far, 0, 0, 0, 0, 0, 0, far, 0, 0], believed: true, ..Judgement::of(&pages) };
        let timeline = Timeline::of(&pages, &judged, None);
        assert!(timeline.ticks().is_some_and(|ticks| ticks > far), "{timeline:?}");
        let mut pager = timeline.pager();
        for _ in 0..20 {
            let mut packets = [Packet::new(0, Timestamp::from(0), Duration::from(0u32), vec![0xfc_u8])];
            pager.place(&mut packets);
        }
    }
}
