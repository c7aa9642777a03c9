//! Seconds follow the container's timestamps: what was muted, not transmitted or lost is silence.

mod recordings;

use domain::FailureCode;
use recordings::ebml::{element, rewrite};
use recordings::{agreement, decode, decode_all_tracks, encode, ffmpeg, limits, tones};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

/// Three seconds of tones at this rate, with the timestamps that ffmpeg's expression `pts` makes.
fn stamped(folder: &Path, name: &str, rate: u32, codec: &str, pts: &str, more: &[&str]) -> (PathBuf, PathBuf) {
    let arguments = [&["-c:a", codec][..], more].concat();
    let whole = encode(folder, name, &tones(rate, 1, rate as usize * 3), rate, 1, &arguments);
    let path = folder.join(format!("stamped_{name}"));
    let (from, to) = (whole.to_string_lossy(), path.to_string_lossy());
    let filter = format!("setts=pts={pts}:dts={pts}");
    let copy = ["-copyts", "-i", &from, "-c", "copy", "-bsf:a", &filter];
    ffmpeg(&[&copy[..], more, &[&to]].concat(), b"");
    (whole, path)
}

/// Where the sound begins again after a second of silence or more, and its length, in samples.
fn resumes(samples: &[f32], rate: u32) -> (usize, usize) {
    let quiet = (0..samples.len()).find(|n| {
        let end = (n + rate as usize).min(samples.len());
        samples[*n..end].iter().all(|s| s.abs() < 1e-4)
    });
    let quiet = quiet.expect("a second of silence");
    let again = samples[quiet..].iter().position(|s| s.abs() > 1e-3).expect("sound behind it");
    (quiet, quiet + again)
}

#[test]
fn a_gap_between_timestamps_is_silence() {
    let folder = folder();
    let fragments: &[&str] = &["-movflags", "frag_keyframe+empty_moov", "-frag_duration", "500000"];
    let cases: [(&str, u32, &str, &[&str]); 14] = [
        ("a.mka", 48_000, "libopus", &[]),
        ("b.mka", 16_000, "aac", &[]),
        ("c.mka", 16_000, "libvorbis", &[]),
        ("d.mka", 8_000, "pcm_s16le", &[]),
        ("e.mka", 44_100, "libmp3lame", &[]),
        ("a.webm", 48_000, "libopus", &[]),
        ("a.m4a", 44_100, "aac", &[]),
        ("b.mp4", 48_000, "libopus", &[]),
        ("c.m4a", 16_000, "alac", &[]),
        ("d.mp4", 16_000, "flac", &["-strict", "-2"]),
        ("e.mp4", 44_100, "aac", fragments),
        ("a.opus", 48_000, "libopus", &[]),
        ("a.ogg", 16_000, "libvorbis", &["-page_duration", "200000"]),
        ("a.oga", 16_000, "flac", &["-page_duration", "200000"]),
    ];
    for (name, rate, codec, more) in cases {
        // Nothing is sent for five seconds, after the first second.
        let pts = "if(gte(PTS*TB\\,1)\\,PTS+5/TB\\,PTS)";
        let (whole, path) = stamped(folder.path(), name, rate, codec, pts, more);
        let (_, without) = decode(&whole, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let (facts, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let more_s = found[0].len().abs_diff(without[0].len()) as f64 / f64::from(rate);
        assert!((more_s - 5.0).abs() < 0.05, "{name} {codec}: {more_s} s more");
        assert!((facts.duration_s - 8.0).abs() < 0.1, "{name} {codec}: {} s", facts.duration_s);
        let (quiet, again) = resumes(&found[0], rate);
        let (quiet_s, again_s) = (quiet as f64 / f64::from(rate), again as f64 / f64::from(rate));
        assert!((quiet_s - 1.0).abs() < 0.15 && (again_s - 6.0).abs() < 0.15, "{name}: {quiet_s} to {again_s} s");
        // Timestamps are rounded, to milliseconds at worst.
        let (five_s, lag) = (5 * rate as usize, rate as usize / 500);
        let (sound, begin) = (&found[0][again + lag..], again - five_s);
        let same = (begin..begin + 2 * lag).map(|at| agreement(&without[0][at..], sound)).fold(0.0, f64::max);
        assert!(again_s - quiet_s > 4.9 && same > 15.0, "{name} {codec}: {same:.0} dB");
    }
}

#[test]
fn packets_that_are_missing_one_by_one_add_up() {
    let folder = folder();
    // Every tenth packet of 20 ms is lost.
    let (_, path) = stamped(folder.path(), "a.mka", 48_000, "libopus", "PTS+floor(N/9)*0.02/TB", &[]);
    let (facts, _) = decode(&path, &limits()).expect("decodes");
    let expected = 3.0 + (150.0f64 / 9.0).floor() * 0.02;
    assert!((facts.duration_s - expected).abs() < 0.03, "{} s of {expected}", facts.duration_s);
    // Timestamps that are only rounded, or early and late by 10 ms, are no gaps.
    let (whole, path) = stamped(folder.path(), "b.mka", 48_000, "libopus", "PTS+mod(N\\,2)*0.01/TB", &[]);
    let seconds = |path: &Path| decode(path, &limits()).expect("decodes").0.duration_s;
    assert_eq!(seconds(&path), seconds(&whole));
}

#[test]
fn a_gap_longer_than_any_recording_is_refused_before_it_is_filled() {
    let folder = folder();
    for (name, codec) in [("a.mka", "libopus"), ("a.m4a", "aac"), ("a.opus", "libopus")] {
        // MP4 has no room for more between two packets.
        let pts = "if(gte(N\\,50)\\,PTS+40000/TB\\,PTS)";
        let (_, path) = stamped(folder.path(), name, 48_000, codec, pts, &[]);
        let begun = std::time::Instant::now();
        let failure = decode(&path, &limits()).expect_err("eleven hours of silence");
        assert_eq!(failure.code, FailureCode::AudioTooLong, "{name}: {failure}");
        assert!(failure.message.contains("timestamps"), "{failure}");
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }
}

#[test]
fn lost_pages_of_ogg_are_silence_where_they_were() {
    let folder = folder();
    for (name, codec) in [("a.opus", "libopus"), ("a.ogg", "libvorbis"), ("a.oga", "flac")] {
        let arguments = ["-c:a", codec, "-page_duration", "100000"];
        let path = encode(folder.path(), name, &tones(48_000, 1, 240_000), 48_000, 1, &arguments);
        let plain = std::fs::read(&path).expect("readable");
        let (_, expected) = decode(&path, &limits()).expect("decodes");
        let (mut rest, mut kept) = (&plain[..], Vec::new());
        while !rest.is_empty() {
            let table = usize::from(rest[26]);
            let length = 27 + table + rest[27..27 + table].iter().map(|n| usize::from(*n)).sum::<usize>();
            let end = u64::from_le_bytes(rest[6..14].try_into().expect("eight bytes"));
            // What ends in the third and fourth second is lost.
            if !(96_000..192_000).contains(&end) {
                kept.extend(&rest[..length]);
            }
            rest = &rest[length..];
        }
        std::fs::write(&path, kept).expect("written");
        let (facts, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert!((facts.duration_s - 5.0).abs() < 0.03, "{name}: {} s", facts.duration_s);
        let (quiet, again) = resumes(&found[0], 48_000);
        assert!(quiet.abs_diff(96_000) < 9_600 && again.abs_diff(192_000) < 9_600, "{name}: {quiet} to {again}");
        let same = agreement(&expected[0][200_000..], &found[0][200_000..]);
        assert!(same > 15.0, "{name}: {same:.0} dB");
    }
}

#[test]
fn a_matroska_file_whose_index_is_cut_has_all_of_its_sound() {
    let folder = folder();
    let path = encode(folder.path(), "a.mka", &tones(48_000, 1, 240_000), 48_000, 1, &["-c:a", "libopus"]);
    let plain = std::fs::read(&path).expect("readable");
    let (_, expected) = decode(&path, &limits()).expect("decodes");
    let index = plain.windows(4).rposition(|id| id == [0x1c, 0x53, 0xbb, 0x6b]).expect("cues behind the clusters");
    for cut in [plain.len() - 1, plain.len() - 10, index + 6] {
        std::fs::write(&path, &plain[..cut]).expect("written");
        let (_, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{cut}: {failure}"));
        assert!(found == expected, "{cut}: {} samples of {}", found[0].len(), expected[0].len());
    }
    for cut in [index, index - 2, index / 2] {
        std::fs::write(&path, &plain[..cut]).expect("written");
        let failure = decode(&path, &limits()).expect_err("sound may be missing");
        assert_eq!(failure.code, FailureCode::AudioTruncated, "{cut}: {failure}");
    }
}

/// A Matroska file whose track has these content encodings, and whose packets `pack` changes.
fn packed(file: &[u8], encodings: &[u8], pack: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    rewrite(file, &mut |id, body| match id {
        0xae => Some([body, element(0x6d80, encodings)].concat()),
        // Track, time and flags take four bytes.
        0xa3 | 0xa1 => Some([&body[..4], &pack(&body[4..])].concat()),
        _ => Some(body),
    })
}

fn compression(algorithm: u8, settings: &[u8]) -> Vec<u8> {
    let body = [element(0x4254, &[algorithm]), element(0x4255, settings)].concat();
    element(0x6240, &element(0x5034, &body))
}

#[test]
fn compressed_packets_are_unpacked_or_refused_by_name() {
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;
    let folder = folder();
    let zlib = |packet: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(packet).expect("written");
        encoder.finish().expect("finished")
    };
    for codec in ["libopus", "libmp3lame", "flac", "pcm_s16le"] {
        let path = encode(folder.path(), "a.mka", &tones(48_000, 1, 144_000), 48_000, 1, &["-c:a", codec]);
        let plain = std::fs::read(&path).expect("readable");
        let (_, expected) = decode(&path, &limits()).expect("decodes");
        // The first byte is the same in all packets of a codec with a sync word, so only it is stripped.
        let first = plain_packet(&plain)[..1].to_vec();
        let strippable = codec == "libmp3lame" || codec == "flac";
        let strip = |packet: &[u8]| packet.strip_prefix(&first[..]).expect("the same byte").to_vec();
        let mut cases = vec![packed(&plain, &compression(0, b""), &zlib)];
        if strippable {
            cases.push(packed(&plain, &compression(3, &first), &strip));
        }
        for bytes in cases {
            std::fs::write(&path, bytes).expect("written");
            let (_, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{codec}: {failure}"));
            assert!(found == expected, "{codec}: {} samples of {}", found[0].len(), expected[0].len());
        }
        let encrypted = element(0x6240, &[element(0x5033, &[1]), element(0x5035, b"")].concat());
        let twice = [compression(0, b""), compression(0, b"")].concat();
        for (encodings, name) in [
            (compression(1, b""), "bzlib"),
            (compression(2, b""), "LZO"),
            (compression(7, b""), "unknown"),
            (encrypted, "encrypted"),
            (twice, "several"),
        ] {
            std::fs::write(&path, packed(&plain, &encodings, &<[u8]>::to_vec)).expect("written");
            let failure = decode(&path, &limits()).expect_err("would be noise");
            assert_eq!(failure.code, FailureCode::AudioUnsupportedCodec, "{failure}");
            assert!(failure.message.contains(name), "{failure}");
        }
        // A track that says it is compressed and is not is no sound either.
        std::fs::write(&path, packed(&plain, &compression(0, b""), &<[u8]>::to_vec)).expect("written");
        let failure = decode_all_tracks(&path, &limits()).expect_err("nothing unpacks");
        assert_eq!(failure.code, FailureCode::AudioCorrupt, "{failure}");
    }
}

/// The first packet of a file with one track.
fn plain_packet(file: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    rewrite(file, &mut |id, body| {
        if matches!(id, 0xa3 | 0xa1) && packet.is_empty() {
            packet = body[4..].to_vec();
        }
        Some(body)
    });
    packet
}
