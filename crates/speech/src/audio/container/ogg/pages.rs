//! The pages of Ogg streams: how many packets end on each, and when. The demuxer counts packets on from the page
//! before, so that it places a gap one page late: after what follows the gap.

use crate::audio::bytes::{be16, le32, le64};
use crate::audio::container::Input;
use domain::Failure;
use std::collections::{HashMap, VecDeque};
use symphonia_core::packet::Packet;
use symphonia_core::units::Duration;

/// Pages that are followed. Where there are more, each is short, and so is the error.
const MAX_PAGES: usize = 200_000;
/// The time of a page on which no packet ends.
const NO_TIME: u64 = u64::MAX;

/// A page on which packets end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    packets: u32,
    /// Ticks of the stream at the end of its last packet.
    end: u64,
}

/// The pages of each stream, by its number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::audio) struct Pages(HashMap<u32, Vec<Page>>);

/// A stream while its pages are read.
struct Stream {
    pages: Vec<Page>,
    /// Packets that are still headers.
    headers: u32,
    /// Sequence number of the page before, and whether its last packet goes on.
    before: (u32, bool),
}

impl Pages {
    /// Reads the headers of all pages; without those of streams that can't be followed.
    pub(super) fn read(input: &mut Input) -> Result<Self, Failure> {
        let (mut streams, mut position): (HashMap<u32, Option<Stream>>, _) = (HashMap::new(), input.start);
        for _ in 0..MAX_PAGES {
            if position >= input.length {
                let followed = streams.into_iter().filter_map(|(serial, stream)| Some((serial, stream?.pages)));
                return Ok(Self(followed.collect()));
            }
            let bytes = input.read(position, 27 + 255 + 16)?;
            let Some(page) = PageHeader::read(&bytes) else { break };
            let first = &bytes[page.length.min(bytes.len())..];
            match streams.get_mut(&page.serial) {
                None => {
                    let headers = page.begins.then(|| header_packets(first)).flatten();
                    let stream = headers.map(|headers| Stream { pages: Vec::new(), headers, before: (0, false) });
                    streams.insert(page.serial, stream.map(|stream| stream.with(&page)));
                }
                // Two streams of the same number can't be told apart by packets.
                Some(stream) if page.begins => *stream = None,
                Some(stream) => *stream = stream.take().map(|stream| stream.with(&page)),
            }
            position += (page.length + page.body) as u64;
        }
        Ok(Self::default())
    }

    /// Ticks from the end of a stream's first page to that of its last: packets, and silence where there are gaps.
    pub(in crate::audio) fn ticks(&self, serial: u32) -> Option<u64> {
        let timed = |page: &&Page| page.end != NO_TIME;
        let pages = self.0.get(&serial)?;
        let (first, last) = (pages.iter().find(timed)?, pages.iter().rfind(timed)?);
        last.end.checked_sub(first.end)
    }

    /// What corrects the packets of one track.
    pub(in crate::audio) fn pager(&self) -> Pager {
        let streams = self.0.iter().map(|(serial, pages)| (*serial, pages.iter().copied().collect())).collect();
        Pager { streams, page: None, held: Vec::new(), ready: VecDeque::new() }
    }
}

impl Stream {
    fn with(mut self, page: &PageHeader) -> Self {
        let (sequence, goes_on) = self.before;
        let follows = page.begins || page.sequence == sequence.wrapping_add(1);
        // The end of a packet whose beginning is lost is dropped.
        let lost = page.continues && !(follows && goes_on);
        let ended = page.packets.saturating_sub(u32::from(lost));
        let headers = self.headers.min(ended);
        self.headers -= headers;
        if ended > headers {
            self.pages.push(Page { packets: ended - headers, end: page.end });
        }
        self.before = (page.sequence, page.goes_on);
        self
    }
}

struct PageHeader {
    serial: u32,
    sequence: u32,
    begins: bool,
    continues: bool,
    /// Packets that end here, and whether another one goes on.
    packets: u32,
    goes_on: bool,
    end: u64,
    /// Bytes of this header, and of what follows it.
    length: usize,
    body: usize,
}

impl PageHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let flags = *bytes.get(5).filter(|_| bytes.starts_with(b"OggS"))?;
        let table = bytes.get(27..27 + usize::from(*bytes.get(26)?))?;
        Some(Self {
            serial: le32(bytes, 14)?,
            sequence: le32(bytes, 18)?,
            begins: flags & 2 != 0,
            continues: flags & 1 != 0,
            packets: table.iter().filter(|length| **length < 255).count() as u32,
            goes_on: table.last() == Some(&255),
            end: le64(bytes, 6)?,
            length: 27 + table.len(),
            body: table.iter().map(|length| usize::from(*length)).sum(),
        })
    }
}

/// How many packets of headers a stream has, by the first.
fn header_packets(first: &[u8]) -> Option<u32> {
    match first {
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', ..] => Some(2),
        [1, b'v', b'o', b'r', b'b', b'i', b's', ..] => Some(3),
        [0x7f, b'F', b'L', b'A', b'C', ..] => be16(first, 7).filter(|more| *more > 0).map(|more| u32::from(more) + 1),
        _ => None,
    }
}

/// Holds the packets of a page until all are known, and moves them behind the gap before them.
#[derive(Debug)]
pub(in crate::audio) struct Pager {
    streams: HashMap<u32, VecDeque<Page>>,
    /// The last page: its stream, its end, and the timestamp at which the demuxer ended it.
    page: Option<(u32, u64, i64)>,
    held: Vec<Packet>,
    ready: VecDeque<Packet>,
}

impl Pager {
    /// A packet whose time is known.
    pub(in crate::audio) fn next(&mut self) -> Option<Packet> {
        self.ready.pop_front()
    }

    /// Takes the demuxer's next packet.
    pub(in crate::audio) fn push(&mut self, packet: Packet) {
        let serial = packet.track_id;
        if self.held.first().is_some_and(|held| held.track_id != serial) {
            self.flush();
        }
        let Some(page) = self.streams.get(&serial).and_then(|pages| pages.front()).copied() else {
            self.flush();
            self.ready.push_back(packet);
            return;
        };
        self.held.push(packet);
        if self.held.len() < page.packets as usize {
            return;
        }
        let begin = self.held[0].pts.get();
        let ticks = self.held.iter().map(whole_duration).sum::<u64>();
        let mut next = begin.saturating_add_unsigned(ticks);
        if let Some((_, end, pts)) = self.page.filter(|(before, ..)| *before == serial) {
            if pts != begin {
                // The demuxer dropped or found packets that the pages' headers don't tell of.
                self.streams.remove(&serial);
                self.flush();
                return;
            }
            let gap = if page.end == NO_TIME { 0 } else { page.end }.saturating_sub(end).saturating_sub(ticks);
            for packet in &mut self.held {
                packet.pts = packet.pts.saturating_add(Duration::from(gap));
            }
            // The demuxer begins the next page where the headers say that this one ends.
            next = pts.saturating_add(page.end.wrapping_sub(end).cast_signed());
        }
        self.page = (page.end != NO_TIME).then_some((serial, page.end, next));
        if let Some(pages) = self.streams.get_mut(&serial) {
            pages.pop_front();
        }
        self.flush();
    }

    /// Gives away what is held, as it is.
    pub(in crate::audio) fn flush(&mut self) {
        self.ready.extend(self.held.drain(..));
    }
}

/// Ticks of a packet with what is to be cut from it.
fn whole_duration(packet: &Packet) -> u64 {
    packet.dur.get() + packet.trim_start.get() + packet.trim_end.get()
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::input;
    use super::*;
    use symphonia_core::units::Timestamp;

    /// A page of this stream with packets of these lengths.
    fn page(flags: u8, serial: u32, sequence: u32, end: u64, packets: &[usize], goes_on: bool) -> Vec<u8> {
        let lacing = |length: &usize| [vec![255; length / 255], vec![(length % 255) as u8]].concat();
        let mut table: Vec<u8> = packets.iter().flat_map(lacing).collect();
        if goes_on {
            table.pop();
        }
        let body: usize = table.iter().map(|length| usize::from(*length)).sum();
        let mut first = b"OpusHead".to_vec();
        first.resize(body, 0);
        let numbers = [&end.to_le_bytes()[..], &serial.to_le_bytes(), &sequence.to_le_bytes(), &[0; 4]].concat();
        [&b"OggS\0"[..], &[flags], &numbers, &[table.len() as u8], &table, &first].concat()
    }

    #[test]
    fn packets_are_counted_where_they_end() {
        let bytes = [
            page(2, 7, 0, 0, &[19], false),
            page(0, 7, 1, 0, &[30], false),
            page(0, 7, 2, 1_920, &[100, 100, 255], true),
            page(1, 7, 3, 3_840, &[10, 300], false),
            page(1, 7, 5, 9_600, &[10, 20], false),
        ];
        let pages = Pages::read(&mut input(&bytes.concat())).expect("read");
        let found = |packets, end| Page { packets, end };
        // The packet whose beginning was on the lost page 4 is none.
        assert_eq!(pages.0.get(&7), Some(&vec![found(2, 1_920), found(2, 3_840), found(1, 9_600)]));
        let twice = [bytes.concat(), bytes.concat()].concat();
        assert_eq!(Pages::read(&mut input(&twice)).expect("read"), Pages::default());
    }

    #[test]
    fn a_gap_comes_before_the_page_that_ends_later_than_its_packets() {
        let pages = [(2, 1_920), (2, 49_920), (1, 50_880)].map(|(packets, end)| Page { packets, end });
        let mut pager = Pages(HashMap::from([(7, pages.to_vec())])).pager();
        let mut found = Vec::new();
        // As the demuxer stamps them: the gap of a second is behind the second page.
        for pts in [0, 960, 1_920, 2_880, 49_920, 50_880] {
            pager.push(Packet::new(7, Timestamp::from(pts), Duration::from(960u32), [0; 3]));
            found.extend(std::iter::from_fn(|| pager.next()).map(|packet| packet.pts.get()));
        }
        pager.flush();
        found.extend(std::iter::from_fn(|| pager.next()).map(|packet| packet.pts.get()));
        assert_eq!(found, [0, 960, 48_000, 48_960, 49_920, 50_880]);
    }
}
