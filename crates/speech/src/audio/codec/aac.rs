//! HE-AAC and other profiles than AAC-LC. A decoder of AAC-LC decodes the lower half of HE-AAC's spectrum without
//! an error, so the upper half (spectral band replication, SBR) is looked for here.

use crate::audio::bytes::be16;

/// Hz: above this rate encoders don't use SBR.
const HIGHEST_CORE: u32 = 24_000;
/// Packets looked at before the decision.
const PACKETS: u32 = 16;

/// The profile that a decoder's configuration (ISO 14496-3, 1.6.2.1) names, if not AAC-LC.
pub(in crate::audio) fn unsupported_profile(configuration: &[u8]) -> Option<&'static str> {
    let mut bits = Bits { bytes: configuration, at: 0 };
    match bits.object_type()? {
        2 => {}
        5 => return Some("HE-AAC"),
        29 => return Some("HE-AAC v2"),
        42 => return Some("xHE-AAC"),
        23 | 39 => return Some("low-delay AAC"),
        _ => return Some("an AAC profile other than LC"),
    }
    if bits.take(4)? == 15 {
        bits.take(24)?;
    }
    let channels = bits.take(4)?;
    bits.take(1)?;
    if bits.take(1)? == 1 {
        bits.take(14)?;
    }
    bits.take(1)?;
    if channels == 0 {
        return None;
    }
    // Behind the configuration of the core, where old decoders don't look.
    (bits.take(11)? == 0x2b7 && bits.object_type()? == 5 && bits.take(1)? == 1).then_some("HE-AAC")
}

/// Detects SBR that only the packets signal.
#[derive(Debug, Default)]
pub(in crate::audio) struct SbrDetector {
    packets: u32,
    carrying: u32,
}

impl SbrDetector {
    /// Looks at the next packet; true once SBR is certain.
    pub(in crate::audio) fn detect(&mut self, packet: &[u8], core_rate: u32) -> bool {
        if core_rate > HIGHEST_CORE || self.packets >= PACKETS {
            return false;
        }
        self.packets += 1;
        self.carrying += u32::from(ends_with_sbr(packet));
        self.packets == PACKETS && self.carrying * 4 >= PACKETS * 3
    }
}

/// Whether the last element before the end of `packet` is a fill element with replication data.
///
/// Read backwards from the end, for which nothing of the core has to be understood: `111`, then
/// bits to the next byte; before that the fill element, whose length must lead to its own header.
/// One packet in thirty fits by chance, three in four don't.
fn ends_with_sbr(packet: &[u8]) -> bool {
    let end = packet.len() * 8;
    let bit = |at: usize| packet[at / 8] >> (7 - at % 8) & 1;
    let read = |at: usize, count: usize| (at..at + count).fold(0u32, |value, at| value << 1 | u32::from(bit(at)));
    let Some(last) = (end.saturating_sub(16)..end).rev().find(|at| bit(*at) == 1) else { return false };
    if end - last > 8 || last < 32 || read(last - 2, 3) != 7 {
        return false;
    }
    let terminator = last - 2;
    (1..=269).any(|count: usize| {
        let escape = if count < 15 { 0 } else { 8 };
        let Some(header) = terminator.checked_sub(count * 8 + 7 + escape) else { return false };
        let counted = match read(header + 3, 4) {
            15 => 14 + read(header + 7, 8) as usize,
            short => short as usize,
        };
        read(header, 3) == 6 && counted == count && matches!(read(header + 7 + escape, 4), 13 | 14)
    })
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 24.
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            kind => Some(kind),
        }
    }
}

/// Hz of the core (the lower half), by a decoder's configuration.
pub(in crate::audio) fn core_sample_rate(configuration: &[u8]) -> Option<u32> {
    const RATES: [u32; 13] =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
    RATES.get(usize::from(be16(configuration, 0)? >> 7 & 15)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_told_apart() {
        assert_eq!(unsupported_profile(&[0x12, 0x10]), None); // LC, 44.1 kHz, stereo
        assert_eq!(core_sample_rate(&[0x12, 0x10]), Some(44_100));
        assert_eq!(unsupported_profile(&[0x2b, 0x92, 0x08, 0x00]), Some("HE-AAC"));
        assert_eq!(unsupported_profile(&[0xeb, 0x8a, 0x08, 0x00]), Some("HE-AAC v2"));
        // LC at 24 kHz, then the sync word and "replication present".
        assert_eq!(unsupported_profile(&[0x13, 0x10, 0x56, 0xe5, 0x98]), Some("HE-AAC"));
        assert_eq!(unsupported_profile(&[]), None);
    }

    #[test]
    fn packets_that_end_with_sbr_data_are_detected() {
        // Any core, then fill (110), count 4 (0100), replication (1101), 28 bits, end (111).
        let core = [0x21, 0x4c, 0x99, 0x12, 0x5a];
        let mut bits: Vec<u8> = core.iter().flat_map(|byte| (0..8).map(move |n| byte >> (7 - n) & 1)).collect();
        bits.extend([1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1]);
        bits.extend([0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0]);
        bits.extend([1, 1, 1]);
        bits.resize(bits.len().next_multiple_of(8), 0);
        let packet: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | bit)).collect();
        assert!(ends_with_sbr(&packet));
        let mut detector = SbrDetector::default();
        assert!((0..PACKETS).any(|_| detector.detect(&packet, 22_050)));
        assert!(!ends_with_sbr(&core));
        assert!(!ends_with_sbr(&[]));
    }
}
