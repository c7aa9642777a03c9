//! The edit lists of MP4 and QuickTime are obeyed: parts, empty edits and dwells, in any order.

mod recordings;

use domain::FailureCode;
use recordings::mp4::{boxed, rewrite, with_edits};
use recordings::{agreement, decode, decode_all_tracks, encode, ffmpeg, limits, reference, tones};
use std::path::Path;
use tempfile::TempDir;

/// Hz of the recordings here.
const RATE: u32 = 44_100;
const PLAIN: f64 = 1.0;

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

/// A file of six seconds of tones, and its samples without an edit list.
fn recording(folder: &Path, name: &str, codec: &str) -> (Vec<u8>, Vec<f32>) {
    let path = encode(folder, name, &tones(RATE, 1, RATE as usize * 6), RATE, 1, &["-c:a", codec]);
    let bytes = std::fs::read(&path).expect("readable");
    std::fs::write(&path, with_edits(&bytes, &[(60_000, 0, PLAIN)])).expect("written");
    let (_, mut all) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    (bytes, all.remove(0))
}

/// Milliseconds as samples.
fn ms(milliseconds: usize) -> usize {
    milliseconds * RATE as usize / 1_000
}

#[test]
fn parts_follow_each_other_wherever_they_come_from() {
    let folder = folder();
    for (name, codec, packet) in [("a.m4a", "aac", 1_024), ("b.m4a", "alac", 4_096), ("c.mov", "pcm_s16be", 2_048)] {
        let (bytes, all) = recording(folder.path(), name, codec);
        // Samples (begin, length) of the media; 0 and a length are silence.
        let cases: [&[(u32, i32, f64)]; 8] = [
            &[(1_000, 0, PLAIN), (1_000, 88_200, PLAIN)],
            &[(1_000, 88_200, PLAIN), (1_000, 0, PLAIN)],
            &[(500, 4_410, PLAIN), (500, 4_410, PLAIN), (500, 4_410, PLAIN)],
            &[(1_000, 0, PLAIN), (750, -1, PLAIN), (1_000, 44_100, PLAIN)],
            &[(1_000, 0, PLAIN), (500, 22_050, 0.0), (1_000, 44_100, PLAIN), (300, -1, PLAIN)],
            &[(200, 0, PLAIN), (200, 132_300, PLAIN), (200, 44_100, PLAIN), (200, 220_500, PLAIN), (200, 22, PLAIN)],
            &[(2_000, 220_500, PLAIN), (1_000, 0, PLAIN)],
            &[(1_000, 230_000, PLAIN)],
        ];
        for list in cases {
            let path = folder.path().join("edited.mp4");
            std::fs::write(&path, with_edits(&bytes, list)).expect("written");
            let (_, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name} {list:?}: {failure}"));
            let mut expected = Vec::new();
            for (duration, time, speed) in list {
                let length = ms(*duration as usize);
                match usize::try_from(*time) {
                    // A part of two seconds from the fifth on has only one.
                    Ok(begin) if *speed > 0.0 => expected.extend(&all[begin..(begin + length).min(all.len())]),
                    _ => expected.extend(vec![0.0; length]),
                }
            }
            // The last packet is delivered whole, and each part may begin a sample later.
            let more = found[0].len() as i64 - expected.len() as i64;
            assert!((-5..=packet).contains(&more), "{name} {list:?}: {} samples of {}", found[0].len(), expected.len());
            let same = agreement(&expected, &found[0]);
            assert!(same > 20.0, "{name} {list:?}: {same:.0} dB");
        }
    }
}

#[test]
fn an_edit_list_that_cant_be_obeyed_is_refused_by_name() {
    let folder = folder();
    let (bytes, _) = recording(folder.path(), "a.m4a", "aac");
    let many = vec![(1, 0, PLAIN); 2_000];
    for (list, word) in [(&[(1_000, 0, 2.0)][..], "2.00 times the speed"), (&many, "edit list of more than")] {
        let path = folder.path().join("edited.m4a");
        std::fs::write(&path, with_edits(&bytes, list)).expect("written");
        let failure = decode(&path, &limits()).expect_err("can't be obeyed");
        assert_eq!(failure.code, FailureCode::AudioUnsupportedCodec, "{failure}");
        assert!(failure.message.contains(word), "{failure}");
    }
    // Hours of nothing are not filled before the limit is noticed.
    std::fs::write(folder.path().join("a.m4a"), with_edits(&bytes, &[(1_000, 0, PLAIN), (u32::MAX - 1, -1, PLAIN)]))
        .expect("written");
    let failure = decode_all_tracks(&folder.path().join("a.m4a"), &limits()).expect_err("49 days");
    assert_eq!(failure.code, FailureCode::AudioTooLong, "{failure}");
}

#[test]
fn a_track_that_begins_with_an_empty_edit_begins_later() {
    let folder = folder();
    let (bytes, all) = recording(folder.path(), "a.m4a", "alac");
    let path = folder.path().join("late.m4a");
    std::fs::write(&path, with_edits(&bytes, &[(2_000, -1, PLAIN), (3_000, 0, PLAIN)])).expect("written");
    let found = decode_all_tracks(&path, &limits()).expect("decodes");
    assert!((found[0].len() as i64 - 16_000 * 5).abs() < 16_000 * 4_096 / i64::from(RATE), "{}", found[0].len());
    assert!(found[0][..31_900].iter().all(|s| *s == 0.0), "two seconds of silence");
    let loud = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
    assert!((loud(&found[0][32_000..]) / loud(&all[..RATE as usize * 3]) - 1.0).abs() < 0.1);
}

#[test]
fn an_mp4_file_that_lacks_less_than_a_packet_is_whole() {
    let folder = folder();
    let arguments = ["-c:a", "aac", "-movflags", "faststart"];
    let path = encode(folder.path(), "a.m4a", &tones(RATE, 1, RATE as usize * 3), RATE, 1, &arguments);
    let (bytes, expected) = (std::fs::read(&path).expect("readable"), reference(&path));
    std::fs::write(&path, &bytes[..bytes.len() - 3]).expect("written");
    let (_, found) = decode(&path, &limits()).expect("one packet is missing");
    assert_eq!(found[0].len(), expected.len() - 1_024);
    // Bytes that no packet needs.
    std::fs::write(&path, [&bytes[..], &boxed(*b"free", &[0; 500])[..100]].concat()).expect("written");
    assert_eq!(decode(&path, &limits()).expect("whole").1[0].len(), expected.len());
    std::fs::write(&path, &bytes[..bytes.len() - 2_000]).expect("written");
    let failure = decode(&path, &limits()).expect_err("packets are missing");
    assert_eq!(failure.code, FailureCode::AudioTruncated, "{failure}");
}

#[test]
fn quicktime_without_a_file_type_and_other_tracks_that_are_odd_are_no_hindrance() {
    let folder = folder();
    let path = encode(folder.path(), "a.mov", &tones(RATE, 1, RATE as usize), RATE, 1, &["-c:a", "pcm_s16be"]);
    let expected = reference(&path);
    let bytes = std::fs::read(&path).expect("readable");
    assert_eq!(&bytes[4..8], b"ftyp");
    let renamed = [&bytes[..4], b"wide", &bytes[8..]].concat();
    std::fs::write(&path, renamed).expect("written");
    assert_eq!(decode(&path, &limits()).expect("decodes").1[0], expected);
    // A video track with two sample entries, and tables that make no sense.
    let (video, to) = (folder.path().join("v.mov"), folder.path().join("odd.mov"));
    let (from, made) = (path.to_string_lossy(), video.to_string_lossy());
    let picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=1"];
    let codecs = ["-i", &from, "-c:v", "mpeg4", "-c:a", "copy", "-map", "0", "-map", "1", &made];
    ffmpeg(&[&picture[..], &codecs].concat(), b"");
    let bytes = std::fs::read(&video).expect("readable");
    let odd = rewrite(&bytes, &|kind, body| match &kind {
        b"stsd" if body.windows(4).any(|name| name == b"mp4v") => {
            Some([&[0, 0, 0, 0, 0, 0, 0, 2], &body[8..], &body[8..]].concat())
        }
        b"stss" => Some(vec![0xff; 9]),
        _ => Some(body),
    });
    std::fs::write(&to, odd).expect("written");
    assert_eq!(decode(&to, &limits()).expect("decodes").1[0], expected);
}
