//! Formats that can't be decoded, so that their failure names them.

use super::Input;

/// Where, which bytes, and the format's name.
const MAGIC: [(usize, &[u8], &str); 27] = [
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

/// The format's name, if it is one of these.
pub(super) fn name(input: &Input) -> Option<&'static str> {
    if input.has(0, b"RIFF") && input.has(8, b"AVI ") {
        return Some("AVI");
    }
    if let Some((_, _, name)) = MAGIC.iter().find(|(offset, magic, _)| input.has(*offset, magic)) {
        return Some(name);
    }
    // Packets of a transport stream are 188 bytes, or 192 with a time stamp before each.
    let sync_bytes =
        |first: usize, step: usize| (0..4).all(|packet| input.head.get(first + packet * step) == Some(&0x47));
    (sync_bytes(0, 188) || sync_bytes(4, 192)).then_some("MPEG transport stream")
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
