//! When the packets of Opus in Ogg are: by their own lengths, and by the granule positions of their pages (RFC 7845, 4) as
//! far as these contradict neither the packets nor each other. Recorders leave granule positions at 0, count them at the
//! rate of the microphone, or begin anew in the middle.
//!
//! `scan` reads the pages, `judgement` decides which of their times are believed, and `timeline` places the packets.

mod judgement;
mod scan;
mod timeline;

pub(super) use scan::Scan;
pub(super) use timeline::{OpusPager, Timeline};

/// Ticks of the longest packet.
const LONGEST_PACKET: u64 = 5_760;

/// Ticks of a packet, by its first bytes (RFC 6716, 3.1).
fn ticks(packet: &[u8]) -> u64 {
    let Some(first) = packet.first() else { return 0 };
    let configuration = usize::from(first >> 3);
    let frame = match configuration {
        0..12 => [480, 960, 1_920, 2_880][configuration % 4],
        12..16 => [480, 960][configuration % 2],
        _ => [120, 240, 480, 960][configuration % 4],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |second| u64::from(second & 0x3f)),
    };
    (frame * frames).min(LONGEST_PACKET)
}

/// A page on which packets end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    packets: u32,
    /// Of its packets.
    ticks: u64,
    /// Granule position; `None` where the page has no time.
    end: Option<u64>,
    /// Whether it is the stream's last, of which padding is to be cut off.
    is_last: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_say_how_long_they_are() {
        let lengths = [(&[0x08u8][..], 960), (&[0xfc], 960), (&[0x18], 2_880), (&[0xe3, 48], 5_760), (&[0x61], 960)];
        for (packet, length) in lengths {
            assert_eq!(ticks(packet), length, "{packet:x?}");
        }
        assert_eq!((ticks(&[]), ticks(&[0x03])), (0, 0));
    }
}
