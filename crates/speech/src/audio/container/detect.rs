//! What a file is, by its first bytes.

use super::bytes::be32;
use super::mpeg;

/// A container that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audio) enum Container {
    Wav,
    Aiff,
    Caf,
    Flac,
    Ogg,
    Mp4,
    Matroska,
    Mpeg,
    Adts,
}

impl Container {
    /// Name in reports.
    pub(in crate::audio) fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Aiff => "aiff",
            Self::Caf => "caf",
            Self::Flac => "flac",
            Self::Ogg => "ogg",
            Self::Mp4 => "mp4",
            Self::Matroska => "matroska",
            Self::Mpeg => "mpeg",
            Self::Adts => "adts",
        }
    }
}

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audio) enum Content {
    /// Readable, from this offset of `head` on.
    Container(Container, usize),
    /// Known, but not readable: its name.
    Unsupported(&'static str),
    /// Not known to be audio.
    Unknown,
}

/// First bytes of formats that can't be read.
const UNSUPPORTED: [(usize, &[u8], &str); 27] = [
    (0, b"#!AMR", "AMR"),
    (0, b"#!SILK_V3", "SILK"),
    (1, b"#!SILK_V3", "SILK (as WeChat writes it)"),
    (0, b"#!EVRC", "EVRC"),
    (0, b".snd", "Sun AU"),
    (0, b"dns.", "Sun AU"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (ASF)"),
    (0, b"riff\x2e\x91\xcf\x11", "Sony Wave64"),
    (0, b"RIFX", "big-endian RIFF"),
    (0, b"MThd", "MIDI"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"FLV\x01", "Flash Video"),
    (0, b"NIST_1A", "NIST SPHERE"),
    (0, b"Creative Voice File", "Creative VOC"),
    (0, b"ADIF", "AAC in ADIF"),
    (0, b"\x00\x00\x01\xba", "MPEG program stream"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"LA0", "Lossless Audio"),
];

/// Tells the content of a file from `head`, its beginning; `whole` when that is all of it.
pub(in crate::audio) fn content(head: &[u8], whole: bool) -> Content {
    use Content::{Container as Known, Unknown, Unsupported};
    let at = |from: usize, magic: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(magic));
    if (at(0, b"RIFF") || at(0, b"RF64") || at(0, b"BW64")) && at(8, b"WAVE") {
        return Known(Container::Wav, 0);
    }
    if at(0, b"RIFF") && at(8, b"AVI ") {
        return Unsupported("AVI");
    }
    if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
        return Known(Container::Aiff, 0);
    }
    let simple: [(&[u8], Container); 4] = [
        (b"caff\x00\x01", Container::Caf),
        (b"fLaC", Container::Flac),
        (b"OggS", Container::Ogg),
        (b"\x1a\x45\xdf\xa3", Container::Matroska),
    ];
    if let Some((_, container)) = simple.into_iter().find(|(magic, _)| at(0, magic)) {
        return Known(container, 0);
    }
    if at(4, b"ftyp") {
        return Known(Container::Mp4, 0);
    }
    if let Some((_, _, name)) = UNSUPPORTED.into_iter().find(|(from, magic, _)| at(*from, magic)) {
        return Unsupported(name);
    }
    if at(4, b"moov") || at(4, b"mdat") || at(4, b"wide") {
        return Unsupported("QuickTime without a file type");
    }
    // Packets of a transport stream are 188 bytes, or 192 with a time stamp before each.
    if [(0, 188), (4, 192)].iter().any(|(first, step)| (0..4).all(|n| head.get(first + n * step) == Some(&0x47))) {
        return Unsupported("MPEG transport stream");
    }
    match mpeg::find(head, whole) {
        Some((at, mpeg::Stream::Mpeg)) => Known(Container::Mpeg, at),
        Some((at, mpeg::Stream::Adts)) => Known(Container::Adts, at),
        None => Unknown,
    }
}

/// Bytes of the tag (`ID3`) that `head` begins with, 0 without one. Any format may have some in front.
pub(in crate::audio) fn tag_length(head: &[u8]) -> u64 {
    let Some(size) = be32(head, 6).filter(|_| head.starts_with(b"ID3")) else { return 0 };
    let seven_bits = (size & 0x7f) | (size >> 1 & 0x3f80) | (size >> 2 & 0x1f_c000) | (size >> 3 & 0xfe0_0000);
    let footer = if head[5] & 0x10 != 0 { 10 } else { 0 };
    10 + u64::from(seven_bits) + footer
}

/// The name of an Ogg stream's codec, if it is one that can't be decoded.
pub(in crate::audio) fn unsupported_in_ogg(head: &[u8]) -> Option<&'static str> {
    let segments = usize::from(*head.get(26)?);
    let packet = head.get(27 + segments..)?;
    let known: [(&[u8], &str); 6] = [
        (b"Speex   ", "Speex"),
        (b"\x80theora", "Theora video"),
        (b"fishead\0", "a skeleton of several streams"),
        (b"CELT    ", "CELT"),
        (b"PCM     ", "OggPCM"),
        (b"BBCD\0", "Dirac video"),
    ];
    if packet.starts_with(b"OpusHead") && packet.get(18).is_some_and(|family| *family > 1) {
        return Some("Opus with a channel mapping of its own");
    }
    known.into_iter().find(|(magic, _)| packet.starts_with(magic)).map(|(_, name)| name)
}

/// Bytes by which the last page in `tail`, the end of an Ogg file, goes past that end.
pub(in crate::audio) fn missing_of_ogg(tail: &[u8]) -> u64 {
    let last = tail.windows(5).rposition(|bytes| bytes == b"OggS\0");
    let Some(page) = last.map(|at| &tail[at..]) else { return 0 };
    let Some(segments) = page.get(26).map(|n| usize::from(*n)) else { return 27 };
    let Some(table) = page.get(27..27 + segments) else { return segments as u64 };
    let declared = 27 + segments + table.iter().map(|n| usize::from(*n)).sum::<usize>();
    declared.saturating_sub(page.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_cant_be_read_are_named() {
        assert_eq!(content(b"#!AMR-WB\nxxxxxxxx", true), Content::Unsupported("AMR"));
        assert_eq!(content(b"\x02#!SILK_V3xxxxxx", true), Content::Unsupported("SILK (as WeChat writes it)"));
        let mut stream = vec![0u8; 188 * 5];
        stream.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        assert_eq!(content(&stream, true), Content::Unsupported("MPEG transport stream"));
    }

    #[test]
    fn text_is_unknown_and_a_tag_in_front_is_measured() {
        assert_eq!(content(b"Dear recorder, where is my audio?", true), Content::Unknown);
        assert_eq!(content(b"", true), Content::Unknown);
        assert_eq!(tag_length(b"ID3\x04\0\0\0\0\x01\x02xxfLaC"), 10 + 130);
        assert_eq!(tag_length(b"fLaC"), 0);
    }

    #[test]
    fn an_ogg_page_that_is_cut_is_noticed() {
        let mut page = b"OggS\0".to_vec();
        page.extend([0; 21]);
        page.extend([2, 10, 5]);
        page.extend([7; 15]);
        assert_eq!(missing_of_ogg(&page), 0);
        assert_eq!(missing_of_ogg(&page[..page.len() - 4]), 4);
    }
}
