//! Formats that can't be decoded, so that their failure names them.

use super::Input;

/// Where, which bytes, and the format's name.
const MAGIC: [(usize, &[u8], &str); 36] = [
    (0, b"#!AMR", "AMR"),
    (0, b"#!SILK_V3", "SILK"),
    (1, b"#!SILK_V3", "SILK (as WeChat writes it)"),
    (0, b"#!EVRC", "EVRC"),
    (0, b"#!iLBC", "iLBC"),
    (8, b"QLCM", "QCELP"),
    (8, b"8SVX", "Amiga 8SVX"),
    (0, b"\x02dss", "Digital Speech Standard (DSS)"),
    (0, b"\x03dss", "Digital Speech Standard (DSS)"),
    (0, b"\x03ds2", "Digital Speech Standard (DS2)"),
    (0, b"OFR ", "OptimFROG"),
    (0, b"tBaK", "TAK"),
    (0, b"\x00\x00\x01\xb3", "MPEG video"),
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

/// The format's name, if it is one of these.
pub(super) fn name(input: &Input) -> Option<&'static str> {
    if input.has(0, b"RIFF") && input.has(8, b"AVI ") {
        return Some("AVI");
    }
    if let Some((_, _, name)) = MAGIC.iter().find(|(offset, magic, _)| input.has(*offset, magic)) {
        return Some(name);
    }
    if is_loas(&input.head) {
        return Some("AAC in LATM/LOAS");
    }
    // Packets of a transport stream are 188 bytes, or 192 with a time stamp before each.
    let sync_bytes =
        |first: usize, step: usize| (0..4).all(|packet| input.head.get(first + packet * step) == Some(&0x47));
    (sync_bytes(0, 188) || sync_bytes(4, 192)).then_some("MPEG transport stream")
}

/// Bytes in which a frame is searched for: the longest has 8 KiB.
const LOAS_SEARCH: usize = 8 * 1024 + 3;
/// Frames in a row that make a stream.
const LOAS_FRAMES: usize = 4;

/// Whether frames of AAC follow each other as an audio synchronisation stream has them (ISO 14496-3, 1.7.2).
fn is_loas(head: &[u8]) -> bool {
    let frame = |bytes: &[u8]| match bytes {
        [0x56, high, low, ..] if high & 0xe0 == 0xe0 => Some(3 + (usize::from(high & 0x1f) << 8 | usize::from(*low))),
        _ => None,
    };
    (0..head.len().min(LOAS_SEARCH)).any(|mut at| {
        (0..LOAS_FRAMES).all(|_| {
            let length = head.get(at..).and_then(frame).filter(|length| *length > 3);
            at += length.unwrap_or(0);
            length.is_some()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;

    #[test]
    fn formats_that_cant_be_decoded_are_named() {
        assert_eq!(name(&input(b"#!AMR-WB\nxxxxxxxx")), Some("AMR"));
        assert_eq!(name(&input(b"\x02#!SILK_V3xxxxxx")), Some("SILK (as WeChat writes it)"));
        assert_eq!(name(&input(b"RIFF....AVI LIST")), Some("AVI"));
        let mut stream = vec![0u8; 188 * 5];
        stream.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        assert_eq!(name(&input(&stream)), Some("MPEG transport stream"));
        assert_eq!(name(&input(b"fLaC")), None);
    }
}
