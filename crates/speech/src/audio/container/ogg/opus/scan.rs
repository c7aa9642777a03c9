//! Reads the pages of a stream: how many packets end on each, how long they are, and what time the page has.

use super::judgement::Judgement;
use super::timeline::Timeline;
use super::{Page, ticks};
use crate::audio::container::ogg::pages::PageHeader;

/// A stream while its pages are read.
#[derive(Debug, Default)]
pub(in super::super) struct Scan {
    pages: Vec<Page>,
    /// Packets that are still headers.
    headers: u32,
    /// Sequence number of the page before, and the ticks of its last packet if that goes on.
    before: Option<(u32, Option<u64>)>,
}

impl Scan {
    /// A stream whose first page was read.
    pub(in super::super) fn new(first: &PageHeader) -> Self {
        let headers = 2u32.saturating_sub(first.packets);
        Self { pages: Vec::new(), headers, before: Some((first.sequence, first.goes_on.then_some(0))) }
    }

    /// Adds a page with this table of lengths and body.
    pub(in super::super) fn add(&mut self, page: &PageHeader, table: &[u8], mut body: &[u8]) {
        let followed = self.before.filter(|(sequence, _)| page.sequence == sequence.wrapping_add(1));
        let mut begun = followed.and_then(|(_, ticks)| ticks).filter(|_| page.continues());
        // The end of a packet whose beginning is lost is dropped.
        let mut lost = page.continues() && begun.is_none();
        let mut found = Page { packets: 0, ticks: 0, end: page.time(), is_last: page.ends() };
        let (mut length, mut goes_on) = (0, None);
        for lacing in table {
            length += usize::from(*lacing);
            let packet = &body[..length.min(body.len())];
            if *lacing == 255 {
                goes_on = Some(begun.unwrap_or_else(|| ticks(packet)));
                continue;
            }
            let ticks = begun.take().unwrap_or_else(|| ticks(packet));
            body = &body[packet.len()..];
            (length, goes_on) = (0, None);
            if std::mem::take(&mut lost) {
                continue;
            }
            if self.headers > 0 {
                self.headers -= 1;
                continue;
            }
            (found.packets, found.ticks) = (found.packets + 1, found.ticks + ticks);
        }
        self.before = Some((page.sequence, goes_on.filter(|_| !lost)));
        if found.packets > 0 {
            self.pages.push(found);
        } else if let (true, Some(last)) = (page.ends(), self.pages.last_mut()) {
            // Some writers end a stream by a page without packets.
            (last.is_last, last.end) = (true, found.end.or(last.end));
        }
    }

    /// Decides when the packets are.
    pub(in super::super) fn end(self) -> Timeline {
        let pages = self.pages;
        let judged = Judgement::of(&pages);
        let timed = pages.iter().filter(|page| page.end.is_some()).count();
        let problem = match (judged.believed, judged.contradicted) {
            (true, 0) => None,
            (true, wrong) => Some(format!("{wrong} of {timed} pages have a time that contradicts the others")),
            (false, _) if timed == 0 => Some(format!("its {} pages have no time", pages.len())),
            (false, _) => Some(format!("the times of its {} pages contradict the packets", pages.len())),
        };
        Timeline::of(&pages, &judged, problem)
    }
}
