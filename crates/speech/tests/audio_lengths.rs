//! Lengths and times that writers to a pipe, and recorders of live sound, put into headers.

mod recordings;

use domain::FailureCode;
use recordings::{decode, encode, limits, tones};
use std::path::Path;

fn samples(folder: &Path, what: &str, bytes: &[u8]) -> Vec<f32> {
    let path = folder.join("a.bin");
    std::fs::write(&path, bytes).expect("written");
    decode(&path, &limits()).unwrap_or_else(|failure| panic!("{what}: {failure}")).1.remove(0)
}

fn position(bytes: &[u8], id: &[u8]) -> usize {
    bytes.windows(id.len()).position(|word| word == id).expect("it is there")
}

#[test]
fn lengths_of_aiff_that_writers_to_a_pipe_put_in_advance_are_read_to_the_end() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, codec) in
        [("a.aiff", "pcm_s16be"), ("a.aif", "pcm_s24be"), ("a.aifc", "pcm_mulaw"), ("b.aifc", "pcm_f32be")]
    {
        let arguments = ["-c:a", codec, "-f", "aiff"];
        let path = encode(folder.path(), name, &tones(8_000, 1, 16_000), 8_000, 1, &arguments);
        let plain = std::fs::read(path).expect("readable");
        let expected = samples(folder.path(), name, &plain);
        assert_eq!(expected.len(), 16_000, "{codec}");
        let (form, sound, common) = (4, position(&plain, b"SSND") + 4, position(&plain, b"COMM") + 10);
        let own = u32::from_be_bytes(plain[sound..sound + 4].try_into().expect("four"));
        let with = |patches: &[(usize, u32)]| {
            let mut bytes = plain.clone();
            for (at, value) in patches {
                bytes[*at..at + 4].copy_from_slice(&value.to_be_bytes());
            }
            bytes
        };
        for endless in [0, u32::MAX, 0x7f00_0000, 0x7fff_ffff, 0xffff_fff7] {
            for patches in [
                vec![(sound, endless)],
                vec![(form, endless)],
                vec![(form, endless), (sound, endless)],
                vec![(form, endless), (sound, endless), (common, 0)],
                vec![(form, endless), (sound, endless), (common, 0x7f00_0000)],
            ] {
                let found = samples(folder.path(), &format!("{codec} {patches:x?}"), &with(&patches));
                assert!(found == expected, "{codec} {patches:x?}: {} samples", found.len());
            }
        }
        // Without the eight bytes before the samples, or with too many.
        for off in [own - 8, own + 8] {
            let found = samples(folder.path(), &format!("{codec} {off}"), &with(&[(sound, off)]));
            assert!(found == expected, "{codec} {off}: {} samples", found.len());
        }
        let path = folder.path().join("cut");
        std::fs::write(&path, &plain[..plain.len() / 2]).expect("written");
        let failure = decode(&path, &limits()).expect_err("half is missing");
        assert_eq!(failure.code, FailureCode::AudioTruncated, "{failure}");
    }
}

#[test]
fn caf_with_a_length_of_zero_is_read_to_the_end() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = encode(folder.path(), "a.caf", &tones(8_000, 1, 16_000), 8_000, 1, &["-c:a", "pcm_s16le"]);
    let mut bytes = std::fs::read(path).expect("readable");
    let expected = samples(folder.path(), "plain", &bytes);
    let data = position(&bytes, b"data");
    bytes[data + 4..data + 12].fill(0);
    assert!(samples(folder.path(), "length 0", &bytes) == expected);
}

#[test]
fn an_edit_list_counts_on_the_timeline_of_the_fragments() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let arguments = ["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+delay_moov", "-frag_duration", "500000"];
    let path = encode(folder.path(), "a.mp4", &tones(48_000, 1, 144_000), 48_000, 1, &arguments);
    let plain = std::fs::read(path).expect("readable");
    let expected = samples(folder.path(), "plain", &plain);
    let list = position(&plain, b"elst") + 4;
    let version = plain[list];
    for base in [48_000u64, 90_000_000] {
        let mut bytes = plain.clone();
        let shift = |bytes: &mut [u8], at: usize, wide: bool| {
            let width = if wide { 8 } else { 4 };
            let own = bytes[at..at + width].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
            let moved = (own + base).to_be_bytes();
            bytes[at..at + width].copy_from_slice(&moved[8 - width..]);
        };
        shift(&mut bytes, if version == 1 { list + 16 } else { list + 12 }, version == 1);
        for at in 0..bytes.len() - 4 {
            if &bytes[at..at + 4] == b"tfdt" {
                let wide = bytes[at + 4] == 1;
                shift(&mut bytes, at + 8, wide);
            }
        }
        let found = samples(folder.path(), "moved", &bytes);
        assert_eq!(found.len(), expected.len(), "{base}");
        assert!(found == expected, "{base}");
    }
}
