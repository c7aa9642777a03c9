//! Recordings that were joined to one file, and other bytes behind or between them: all of the sound is decoded, once.

mod recordings;

use domain::FailureCode;
use recordings::{decode, encode, limits, tones};
use std::path::Path;

/// A recording of tones: its bytes, and its samples by itself.
fn recording(
    folder: &Path,
    name: &str,
    rate: u32,
    channels: usize,
    seconds: f64,
    codec: &[&str],
) -> (Vec<u8>, Vec<Vec<f32>>) {
    let samples = tones(rate, channels, (f64::from(rate) * seconds) as usize);
    let path = encode(folder, name, &samples, rate, channels, codec);
    let (_, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    (std::fs::read(path).expect("readable"), found)
}

/// Samples of a file of these pieces.
fn joined(folder: &Path, pieces: &[&[u8]]) -> Result<Vec<Vec<f32>>, domain::Failure> {
    let path = folder.join("joined");
    std::fs::write(&path, pieces.concat()).expect("written");
    decode(&path, &limits()).map(|(_, found)| found)
}

fn one_after_the_other(parts: &[&Vec<Vec<f32>>]) -> Vec<Vec<f32>> {
    (0..parts[0].len()).map(|channel| parts.iter().flat_map(|part| part[channel].clone()).collect()).collect()
}

fn id3v1() -> Vec<u8> {
    [&b"TAG"[..], &[0xff; 125]].concat()
}

fn ape(items: &[u8]) -> Vec<u8> {
    let of = |flags: u8| {
        let size = (items.len() as u32 + 32).to_le_bytes();
        [&b"APETAGEX"[..], &2_000u32.to_le_bytes(), &size, &[1, 0, 0, 0, 0, 0, 0, flags], &[0; 8]].concat()
    };
    [&of(0xa0)[..], items, &of(0x80)].concat()
}

const ID3V2: &[u8] = b"ID3\x04\0\0\0\0\0\x0cTIT2\0\0\0\x02\0\0\0x";

#[test]
fn joined_mp3_files_are_decoded_to_the_end_whatever_tags_are_between() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let no_counts: &[&str] = &["-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"];
    let codecs: [&[&str]; 2] = [&["-c:a", "libmp3lame", "-id3v2_version", "0"], no_counts];
    let (first, first_sound) = recording(folder.path(), "a.mp3", 44_100, 1, 1.5, codecs[0]);
    assert_eq!(first_sound[0].len(), 66_150, "LAME's delay and padding are none of the sound");
    for codec in codecs {
        let (second, second_sound) = recording(folder.path(), "b.mp3", 44_100, 1, 2.5, codec);
        let expected = one_after_the_other(&[&first_sound, &second_sound]);
        let lyrics = b"LYRICSBEGININD0000200000021LYRICS200".to_vec();
        let tags = [
            vec![],
            id3v1(),
            ape(b"an item."),
            [&lyrics[..], &id3v1()].concat(),
            vec![0; 3_000],
            ID3V2.to_vec(),
            [ape(b"x").as_slice(), &id3v1(), ID3V2].concat(),
        ];
        for between in tags {
            let found = joined(folder.path(), &[&first, &between, &second]);
            let found = found.unwrap_or_else(|failure| panic!("{between:?}: {failure}"));
            assert_eq!(found[0].len(), expected[0].len(), "{between:?}");
            assert!(found == expected, "{between:?}");
        }
    }
    // A header without the number of bytes: only the frames are counted.
    let at = first.windows(4).position(|word| word == b"Info" || word == b"Xing").expect("LAME's header") + 7;
    let mut frames_only = first.clone();
    frames_only[at] &= !2;
    frames_only.drain(at + 5..at + 9);
    frames_only.splice(at + 165..at + 165, [0; 4]);
    let found = joined(folder.path(), &[&frames_only, &id3v1(), &first]).expect("joined");
    assert!(found[0].len() >= 2 * 66_150, "{} samples", found[0].len());
}

#[test]
fn what_changes_where_recordings_were_joined_is_said() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let of = |rate, channels| {
        let codec = ["-c:a", "libmp3lame", "-b:a", "64k"];
        recording(folder.path(), "a.mp3", rate, channels, 1.5, &codec).0
    };
    for (first, second, said) in [
        (of(44_100, 1), of(48_000, 1), "rate changes from 44100 to 48000"),
        (of(44_100, 1), of(22_050, 1), "rate changes from 44100 to 22050"),
        (of(44_100, 1), of(44_100, 2), "channels changes from 1 to 2"),
    ] {
        for between in [vec![], id3v1()] {
            let failure = joined(folder.path(), &[&first, &between, &second]).expect_err(said);
            assert!(failure.message.contains(said), "{failure}");
        }
    }
}

#[test]
fn joined_flac_streams_are_decoded_and_other_bytes_behind_cost_no_frame() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for codec in [&["-c:a", "flac"][..], &["-c:a", "flac", "-compression_level", "0"]] {
        let (first, first_sound) = recording(folder.path(), "a.flac", 8_000, 2, 1.3, codec);
        let (second, second_sound) = recording(folder.path(), "b.flac", 8_000, 2, 2.1, codec);
        let noise: Vec<u8> = (0..9_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let others = [
            vec![],
            ID3V2.to_vec(),
            [ID3V2, &[0x55; 40]].concat(),
            b"<?xml version=\"1.0\"?><call id=\"7\"/>\n".to_vec(),
            vec![0xff; 5_000],
            vec![0; 5_000],
            vec![0],
            noise,
        ];
        for other in others {
            let what = &other[..other.len().min(8)];
            let found =
                joined(folder.path(), &[&first, &other]).unwrap_or_else(|failure| panic!("{what:?}: {failure}"));
            assert_eq!(found[0].len(), first_sound[0].len(), "{what:?}");
            assert!(found == first_sound, "{what:?}");
            let expected = one_after_the_other(&[&first_sound, &second_sound, &first_sound]);
            let found = joined(folder.path(), &[&first, &other, &second, &first, &other]);
            assert!(found.unwrap_or_else(|failure| panic!("{what:?}: {failure}")) == expected, "{what:?}");
        }
        let cut = joined(folder.path(), &[&first, &second[..second.len() / 2]]).expect_err("the second is cut");
        assert_eq!(cut.code, FailureCode::AudioTruncated, "{cut}");
    }
}

#[test]
fn joined_matroska_files_are_decoded_with_sizes_and_without() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let live: &[&str] = &["-live", "1"];
    for (name, codec) in [("a.mka", "pcm_s16le"), ("a.webm", "libopus"), ("a.mka", "flac")] {
        for more in [&[][..], live] {
            let arguments = [&["-c:a", codec][..], more].concat();
            let (first, first_sound) = recording(folder.path(), name, 48_000, 1, 1.3, &arguments);
            let (second, second_sound) = recording(folder.path(), name, 48_000, 1, 2.1, &arguments);
            let expected = one_after_the_other(&[&first_sound, &second_sound]);
            // A second segment may come without a header of its own.
            let segment = second.windows(4).position(|id| id == [0x18, 0x53, 0x80, 0x67]).expect("a segment");
            for second in [&second[..], &second[segment..]] {
                let found = joined(folder.path(), &[&first, second]);
                let found = found.unwrap_or_else(|failure| panic!("{name} {codec} {more:?}: {failure}"));
                assert_eq!(found[0].len(), expected[0].len(), "{name} {codec} {more:?}");
                assert!(found == expected, "{name} {codec} {more:?}");
            }
        }
    }
}

#[test]
fn joined_wav_files_are_decoded_to_the_end_and_other_bytes_behind_are_no_sound() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for codec in ["pcm_s16le", "pcm_u8", "pcm_mulaw", "adpcm_ms", "pcm_f32le"] {
        // With ffmpeg's LIST chunk in front, and a number of samples that is odd.
        let wav = |name, seconds| recording(folder.path(), name, 8_000, 1, seconds, &["-c:a", codec]);
        let ((first, first_sound), (second, second_sound)) = (wav("a.wav", 1.300_125), wav("b.wav", 2.1));
        let list = b"LIST\x0c\0\0\0INFOISFT\0\0\0\0".to_vec();
        let padded = if first.len() % 2 == 0 { first.clone() } else { [&first[..], &[0]].concat() };
        let expected = one_after_the_other(&[&first_sound, &second_sound, &first_sound]);
        for between in [vec![], list.clone()] {
            let found = joined(folder.path(), &[&padded, &between, &second, &first]);
            let found = found.unwrap_or_else(|failure| panic!("{codec}: {failure}"));
            assert_eq!(found[0].len(), expected[0].len(), "{codec}, {} bytes between", between.len());
            assert!(found == expected, "{codec}, {} bytes between", between.len());
        }
        let noise: Vec<u8> = (0..9_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for behind in [list, noise, vec![0; 5_000], id3v1()] {
            assert!(joined(folder.path(), &[&padded, &behind]).expect("decodes") == first_sound, "{codec}");
        }
        let cut = joined(folder.path(), &[&padded, &second[..second.len() / 2]]).map(|found| found[0].len());
        let cut = cut.expect_err("the second is cut");
        assert_eq!(cut.code, FailureCode::AudioTruncated, "{codec}: {cut}");
    }
    let other = recording(folder.path(), "c.wav", 16_000, 1, 1.0, &["-c:a", "pcm_s16le"]).0;
    let (first, _) = recording(folder.path(), "a.wav", 8_000, 1, 1.0, &["-c:a", "pcm_s16le"]);
    let failure = joined(folder.path(), &[&first, &other]).map(|found| found[0].len()).expect_err("another rate");
    assert!(failure.message.contains("rate changes from 8000 to 16000"), "{failure}");
}

#[test]
fn joined_aiff_files_are_decoded_to_the_end_and_other_bytes_behind_are_no_sound() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for codec in ["pcm_s16be", "pcm_mulaw"] {
        let aiff = |name, seconds| recording(folder.path(), name, 8_000, 1, seconds, &["-c:a", codec]);
        let ((first, first_sound), (second, second_sound)) = (aiff("a.aiff", 1.3), aiff("b.aiff", 2.1));
        let found = joined(folder.path(), &[&first, &second]).unwrap_or_else(|failure| panic!("{codec}: {failure}"));
        let expected = one_after_the_other(&[&first_sound, &second_sound]);
        assert_eq!(found[0].len(), expected[0].len(), "{codec}");
        assert!(found == expected, "{codec}");
        assert!(joined(folder.path(), &[&first, &[0x55; 5_000]]).expect("decodes") == first_sound, "{codec}");
    }
}

#[test]
fn bytes_behind_matroska_cost_no_sound() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for more in [&[][..], &["-live", "1"]] {
        let arguments = [&["-c:a", "flac"][..], more].concat();
        let (whole, sound) = recording(folder.path(), "a.mka", 48_000, 1, 1.3, &arguments);
        for behind in [vec![0; 5_000], vec![0x55; 5_000], id3v1()] {
            let found = joined(folder.path(), &[&whole, &behind]);
            let found = found.unwrap_or_else(|failure| panic!("{more:?} {:?}: {failure}", behind[0]));
            assert!(found == sound, "{more:?} {:?}: {} samples", behind[0], found[0].len());
        }
    }
}
