//! The pages of Ogg streams: how many packets end on each, and when. The demuxer counts packets on from the page
//! before, so that it places a gap one page late: after what follows the gap.

use super::opus::{OpusPager, Scan, Timeline};
use crate::audio::bytes::{be16, le32, le64};
use crate::audio::container::Input;
use crate::audio::container::window::{WINDOW, Window};
use domain::Failure;
use std::collections::{HashMap, VecDeque};
use symphonia_core::packet::Packet;
use symphonia_core::units::Duration;

/// Pages that are followed. Where there are more, each is short, and so is the error.
const MAX_PAGES: usize = 1_000_000;
/// Streams that are followed, together and one after the other. Each takes some hundred bytes, and may have a single page.
const MAX_STREAMS: usize = 10_000;
/// Bytes of the longest header of a page.
const LONGEST_HEADER: usize = 27 + 255;
/// How the first packet of Opus begins.
const OPUS: &[u8] = b"OpusHead";
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
pub(in crate::audio) struct Pages {
    streams: HashMap<u32, Vec<Page>>,
    /// Of Opus, several where streams of the same number follow each other.
    opus: HashMap<u32, VecDeque<Timeline>>,
}

/// A stream while its pages are read.
struct Stream {
    pages: Vec<Page>,
    /// Packets that are still headers.
    headers: u32,
    /// Sequence number of the page before, and whether its last packet goes on.
    before: (u32, bool),
}

impl Pages {
    /// Reads all pages; without those of streams that can't be followed.
    pub(super) fn read(input: &mut Input) -> Result<Self, Failure> {
        let (mut streams, mut opus): (HashMap<u32, Option<Stream>>, HashMap<u32, Vec<Scan>>) = Default::default();
        let (mut window, mut position, mut damaged, mut begun) = (Window::default(), input.start, false, 0);
        for number in 0.. {
            if position >= input.length || number == MAX_PAGES || begun > MAX_STREAMS {
                damaged |= position < input.length;
                break;
            }
            let bytes = window.read(input, position, LONGEST_HEADER + 16)?;
            let Some(page) = PageHeader::read(bytes) else {
                damaged = true;
                let Some(next) = next_page(&mut window, input, position + 1)? else { break };
                position = next;
                continue;
            };
            let is_known = streams.contains_key(&page.serial) || opus.contains_key(&page.serial);
            begun += usize::from(page.begins() || !is_known);
            let first = &bytes[page.length.min(bytes.len())..];
            if page.begins() && first.starts_with(OPUS) {
                opus.entry(page.serial).or_default().push(Scan::new(&page));
            } else if let Some(scan) = opus.get_mut(&page.serial).and_then(|scans| scans.last_mut()) {
                let bytes = window.read(input, position, page.length + page.body)?;
                if bytes.len() < page.length + page.body || !is_intact(bytes) {
                    // The demuxer finds the next page behind, as here.
                    let Some(next) = next_page(&mut window, input, position + 1)? else { break };
                    position = next;
                    continue;
                }
                scan.add(&page, &bytes[27..page.length], &bytes[page.length..]);
            } else {
                match streams.get_mut(&page.serial) {
                    None => {
                        let headers = page.begins().then(|| header_packets(first)).flatten();
                        let stream = headers.map(|headers| Stream { pages: Vec::new(), headers, before: (0, false) });
                        streams.insert(page.serial, stream.map(|stream| stream.with(&page)));
                    }
                    // Two streams of the same number can't be told apart by packets.
                    Some(stream) if page.begins() => *stream = None,
                    Some(stream) => *stream = stream.take().map(|stream| stream.with(&page)),
                }
            }
            position += (page.length + page.body) as u64;
        }
        let followed = streams.into_iter().filter(|_| !damaged);
        Ok(Self {
            streams: followed.filter_map(|(serial, stream)| Some((serial, stream?.pages))).collect(),
            opus: opus
                .into_iter()
                .map(|(serial, scans)| (serial, scans.into_iter().map(Scan::end).collect()))
                .collect(),
        })
    }

    /// What is wrong with the times of a stream's pages, so that its packets are counted.
    pub(in crate::audio) fn problem(&self, serial: u32) -> Option<&str> {
        self.opus.get(&serial)?.iter().find_map(|timeline| timeline.problem.as_deref())
    }

    /// Ticks of a stream, but for its first page where it is not Opus: packets, and silence where there are gaps.
    pub(in crate::audio) fn ticks(&self, serial: u32) -> Option<u64> {
        if let Some(timelines) = self.opus.get(&serial) {
            return timelines.front()?.ticks();
        }
        let timed = |page: &&Page| page.end != NO_TIME;
        let pages = self.streams.get(&serial)?;
        let (first, last) = (pages.iter().find(timed)?, pages.iter().rfind(timed)?);
        last.end.checked_sub(first.end)
    }

    /// What corrects the packets of one track.
    pub(in crate::audio) fn pager(&self) -> Pager {
        let streams = self.streams.iter().map(|(serial, pages)| (*serial, pages.iter().copied().collect())).collect();
        let opus = self.opus.iter();
        let opus = opus.map(|(serial, parts)| (*serial, parts.iter().map(Timeline::pager).collect())).collect();
        Pager { streams, opus, page: None, held: Vec::new(), ready: VecDeque::new() }
    }
}

impl Stream {
    fn with(mut self, page: &PageHeader) -> Self {
        let (sequence, goes_on) = self.before;
        let follows = page.begins() || page.sequence == sequence.wrapping_add(1);
        // The end of a packet whose beginning is lost is dropped.
        let lost = page.continues() && !(follows && goes_on);
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

pub(super) struct PageHeader {
    serial: u32,
    pub(super) sequence: u32,
    flags: u8,
    /// Packets that end here, and whether another one goes on.
    pub(super) packets: u32,
    pub(super) goes_on: bool,
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
            flags,
            packets: table.iter().filter(|length| **length < 255).count() as u32,
            goes_on: table.last() == Some(&255),
            end: le64(bytes, 6)?,
            length: 27 + table.len(),
            body: table.iter().map(|length| usize::from(*length)).sum(),
        })
    }

    /// Whether its first packet has begun on the page before.
    pub(super) fn continues(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether it is the first of its stream.
    fn begins(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Whether it is the last of its stream.
    pub(super) fn ends(&self) -> bool {
        self.flags & 4 != 0
    }

    /// Ticks of the stream at the page's end; `None` where it has no time, or an impossible one.
    pub(super) fn time(&self) -> Option<u64> {
        Some(self.end).filter(|end| end.cast_signed() >= 0)
    }
}

/// Where the next page begins, from this place on.
fn next_page(window: &mut Window, input: &mut Input, mut at: u64) -> Result<Option<u64>, Failure> {
    loop {
        let bytes = window.read(input, at, WINDOW)?;
        if let Some(found) = bytes.windows(4).position(|word| word == b"OggS") {
            return Ok(Some(at + found as u64));
        }
        if bytes.len() < WINDOW {
            return Ok(None);
        }
        at += bytes.len() as u64 - 3;
    }
}

/// Whether a page has the checksum that its header says.
fn is_intact(page: &[u8]) -> bool {
    let said = le32(page, 22);
    let sum = page.iter().enumerate().fold(0, |sum: u32, (at, byte)| {
        let byte = if (22..26).contains(&at) { 0 } else { *byte };
        sum << 8 ^ CHECKSUMS[usize::from((sum >> 24) as u8 ^ byte)]
    });
    said == Some(sum)
}

/// The checksum of each byte, as Ogg counts it.
const CHECKSUMS: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = ((byte as u32) << 24, 0);
        while bit < 8 {
            sum = if sum >> 31 == 0 { sum << 1 } else { sum << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

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
    /// Of Opus: of each number, the streams that follow each other.
    opus: HashMap<u32, VecDeque<OpusPager>>,
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
        if let Some(pager) = self.opus.get_mut(&serial).and_then(VecDeque::front_mut) {
            self.held.push(packet);
            if self.held.len() >= pager.packets() {
                pager.place(&mut self.held);
                self.give();
            }
            return;
        }
        let Some(page) = self.streams.get(&serial).and_then(|pages| pages.front()).copied() else {
            self.give();
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
                self.give();
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
        self.give();
    }

    /// The stream of this number has ended, and another one of the same number follows.
    pub(in crate::audio) fn next_part(&mut self, serial: u32) {
        if let Some(parts) = self.opus.get_mut(&serial) {
            parts.pop_front();
        }
    }

    /// Gives away what is held of a page that is not whole.
    pub(in crate::audio) fn flush(&mut self) {
        let held = self.held.first().map(|packet| packet.track_id);
        if let Some(pager) = held.and_then(|serial| self.opus.get_mut(&serial)?.front_mut()) {
            pager.place(&mut self.held);
        }
        self.give();
    }

    fn give(&mut self) {
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
        let mut first = b"\x01vorbis".to_vec();
        first.resize(body, 0);
        let numbers = [&end.to_le_bytes()[..], &serial.to_le_bytes(), &sequence.to_le_bytes(), &[0; 4]].concat();
        [&b"OggS\0"[..], &[flags], &numbers, &[table.len() as u8], &table, &first].concat()
    }

    #[test]
    fn packets_are_counted_where_they_end() {
        let bytes = [
            page(2, 7, 0, 0, &[19], false),
            page(0, 7, 1, 0, &[30, 20], false),
            page(0, 7, 2, 1_920, &[100, 100, 255], true),
            page(1, 7, 3, 3_840, &[10, 300], false),
            page(1, 7, 5, 9_600, &[10, 20], false),
        ];
        let pages = Pages::read(&mut input(&bytes.concat())).expect("read");
        let found = |packets, end| Page { packets, end };
        // The packet whose beginning was on the lost page 4 is none.
        assert_eq!(pages.streams.get(&7), Some(&vec![found(2, 1_920), found(2, 3_840), found(1, 9_600)]));
        let twice = [bytes.concat(), bytes.concat()].concat();
        assert_eq!(Pages::read(&mut input(&twice)).expect("read"), Pages::default());
    }

    #[test]
    fn of_streams_without_end_none_is_followed() {
        let many = |streams: usize| {
            let begin = (0..streams).flat_map(|serial| page(2, serial as u32, 0, 0, &[19], false));
            let last = [page(0, 0, 1, 0, &[30, 20], false), page(0, 0, 2, 1_920, &[100, 100], false)];
            Pages::read(&mut input(&begin.chain(last.concat()).collect::<Vec<_>>())).expect("read").streams.len()
        };
        assert_eq!((many(MAX_STREAMS), many(MAX_STREAMS + 1)), (MAX_STREAMS, 0));
    }

    #[test]
    fn a_gap_comes_before_the_page_that_ends_later_than_its_packets() {
        let pages = [(2, 1_920), (2, 49_920), (1, 50_880)].map(|(packets, end)| Page { packets, end });
        let streams = HashMap::from([(7, pages.to_vec())]);
        let mut pager = Pages { streams, ..Pages::default() }.pager();
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
