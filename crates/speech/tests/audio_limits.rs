//! Files that cost much more than their bytes end early, and headers that lie harm no good file.

mod recordings;

use domain::FailureCode;
use recordings::{decode, encode, ffmpeg, limits, tones};
use speech::audio::Recording;
use std::fs::File;
use std::path::Path;

/// Twelve hours: beyond `audio.max_seconds`.
const LONG_S: u64 = 12 * 3_600;
/// Processor time within which a header must be judged, seconds: decoding twelve hours takes minutes. Unoptimised code, on a
/// slow machine.
const EARLY_S: f64 = 5.0;

/// Processor time of this thread, seconds: the same on a busy machine.
fn processor_s() -> f64 {
    recordings::processor_time().as_secs_f64()
}

fn refused(name: &str, bytes: &[u8], code: FailureCode) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    refused_file(&path, code);
}

fn refused_file(path: &Path, code: FailureCode) {
    let begun = processor_s();
    let failure = Recording::open(File::open(path).expect("it is there"), &limits()).map(|_| ()).expect_err("refused");
    let taken = processor_s() - begun;
    assert_eq!(failure.code, code, "{}: {failure}", path.display());
    assert!(taken < EARLY_S, "{} took {taken:.1} s of processor time", path.display());
}

/// FLAC of digital silence at 8 kHz: `frames` of 65,535 samples, 14 bytes each, with this count of samples.
fn flac(frames: u32, count: u64) -> Vec<u8> {
    let rest = |bytes: &[u8], bits: u32, polynomial: u32| {
        let (top, mask) = (1 << (bits - 1), if bits == 8 { 0xff } else { 0xffff });
        bytes.iter().fold(0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte) << (bits - 8), |crc, _| {
                (crc << 1 ^ if crc & top == 0 { 0 } else { polynomial }) & mask
            })
        })
    };
    let info = 8_000_u64 << 44 | 15 << 36 | count;
    let mut bytes = [&b"fLaC\x80\0\0\x22\xff\xff\xff\xff\0\0\0\0\0\0"[..], &info.to_be_bytes(), &[0; 16]].concat();
    for number in 0..frames {
        let coded = match number {
            0..0x80 => vec![number as u8],
            0x80..0x800 => vec![0xc0 | (number >> 6) as u8, 0x80 | (number & 0x3f) as u8],
            _ => vec![0xe0 | (number >> 12) as u8, 0x80 | (number >> 6 & 0x3f) as u8, 0x80 | (number & 0x3f) as u8],
        };
        let mut frame = [&[0xff, 0xf8, 0x74, 0x08][..], &coded, &[0xff, 0xfe]].concat();
        frame.push(rest(&frame, 8, 0x07) as u8);
        frame.extend([0, 0, 0]);
        frame.extend((rest(&frame, 16, 0x8005) as u16).to_be_bytes());
        bytes.extend(frame);
    }
    bytes
}

/// A box of MP4.
fn boxed(kind: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32 + 8).to_be_bytes()[..], &kind, &body].concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// MP4 of µ-law at 8 kHz: all `chunks` of `samples` samples each are at the same place of the file.
fn mp4(tracks: u32, chunks: u32, samples: u32) -> Vec<u8> {
    let ftyp = boxed(*b"ftyp", &[b"isom\0\0\0\0"]);
    let place = ftyp.len() as u32 + 8;
    let entry = boxed(*b"ulaw", &[&numbers(&[0, 1, 0, 0, 0x0001_0010, 0, 8_000 << 16])]);
    let stbl = boxed(
        *b"stbl",
        &[
            &boxed(*b"stsd", &[&numbers(&[0, 1]), &entry]),
            &boxed(*b"stts", &[&numbers(&[0, 1, chunks * samples, 1])]),
            &boxed(*b"stsc", &[&numbers(&[0, 1, 1, samples, 1])]),
            &boxed(*b"stsz", &[&numbers(&[0, 1, chunks * samples])]),
            &boxed(*b"stco", &[&numbers(&[0, chunks]), &numbers(&vec![place; chunks as usize])]),
        ],
    );
    let trak = |number: u32| {
        let mdhd = boxed(*b"mdhd", &[&numbers(&[0, 0, 0, 8_000, 0, 0])]);
        let hdlr = boxed(*b"hdlr", &[&numbers(&[0, 0]), b"soun"]);
        let mdia = boxed(*b"mdia", &[&mdhd, &hdlr, &boxed(*b"minf", &[&stbl])]);
        boxed(*b"trak", &[&boxed(*b"tkhd", &[&numbers(&[0, 0, 0, number]), &[0; 64]]), &mdia])
    };
    let mvhd = boxed(*b"mvhd", &[&numbers(&[0, 0, 0, 1_000, 0]), &[0; 80]]);
    let traks: Vec<u8> = (1..=tracks).flat_map(trak).collect();
    [ftyp, boxed(*b"mdat", &[&vec![0xff; samples as usize]]), boxed(*b"moov", &[&mvhd, &traks])].concat()
}

/// Matroska of Opus: clusters of one block, `step_ms` apart, with 256 packets of one byte in each.
fn matroska(clusters: u64, step_ms: u64) -> Vec<u8> {
    let element = recordings::ebml::element;
    let head = [&b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0"[..]].concat();
    let audio = [element(0xb5, &48_000_f32.to_be_bytes()), element(0x9f, &[1])].concat();
    let entry = [
        element(0xd7, &[1]),
        element(0x73c5, &[1]),
        element(0x83, &[2]),
        element(0x86, b"A_OPUS"),
        element(0x63a2, &head),
        element(0xe1, &audio),
    ];
    let block = [&b"\x81\0\0\x04\xff"[..], &[0x18; 256]].concat();
    let info = [element(0x2a_d7b1, &1_000_000_u32.to_be_bytes()), element(0x4d80, b"m"), element(0x5741, b"w")];
    let mut body = element(0x1549_a966, &info.concat());
    body.extend(element(0x1654_ae6b, &element(0xae, &entry.concat())));
    for number in 0..clusters {
        let time = element(0xe7, &(number * step_ms).to_be_bytes());
        body.extend(element(0x1f43_b675, &[time, element(0xa3, &block)].concat()));
    }
    [element(0x1a45_dfa3, &element(0x4282, b"matroska")), element(0x1853_8067, &body)].concat()
}

/// A whole file, made by ffmpeg, repeated frame by frame: `seconds` of it.
fn repeated(name: &str, arguments: &[&str], seconds: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let second = encode(folder.path(), name, &vec![0.0; 8_000 * 4], 8_000, 1, arguments);
    let bytes = std::fs::read(second).expect("read");
    bytes.repeat((seconds / 4) as usize)
}

#[test]
fn what_headers_and_bytes_announce_beyond_the_limit_is_refused_before_it_is_decoded() {
    let too_long = FailureCode::AudioTooLong;
    let frames = (LONG_S * 8_000 / 65_535) as u32;
    let bomb = flac(frames, u64::from(frames) * 65_535);
    assert!(bomb.len() < 80_000, "{} bytes", bomb.len());
    refused("12h.flac", &bomb, too_long);
    refused("one_chunk_many_times.m4a", &mp4(1, LONG_S as u32 / 10, 80_000), too_long);
    refused("lacing.mka", &matroska(LONG_S * 1_000 / 15_360, 15_360), too_long);
    refused("adts.aac", &repeated("a.aac", &["-c:a", "aac", "-b:a", "8k"], LONG_S), too_long);
    refused(
        "phone.mp3",
        &repeated("a.mp3", &["-write_xing", "0", "-id3v2_version", "0", "-b:a", "8k"], LONG_S),
        too_long,
    );
    // Of WAV, AIFF and CAF the bytes say it; on disk these have almost none.
    for (name, arguments) in [
        ("a.wav", &["-c:a", "pcm_mulaw"][..]),
        ("b.wav", &["-c:a", "adpcm_ima_wav"]),
        ("a.aiff", &["-c:a", "pcm_s16be"]),
        ("a.caf", &["-c:a", "pcm_s16le"]),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = encode(folder.path(), name, &vec![0.0; 8_000], 8_000, 1, arguments);
        let bytes = std::fs::read(&path).expect("read");
        // Writers to a pipe leave the length open.
        let find = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
        let mut open = bytes.clone();
        match name {
            "a.caf" => {
                let at = find(b"data").expect("its audio") + 4;
                open[at..at + 8].fill(0xff);
            }
            "a.aiff" => {
                let at = find(b"SSND").expect("its audio") + 4;
                open[at..at + 4].copy_from_slice(&(LONG_S as u32 * 16_000 + 8).to_be_bytes());
                let form = bytes.len() as u32 - 8 + LONG_S as u32 * 16_000;
                open[4..8].copy_from_slice(&form.to_be_bytes());
            }
            _ => {
                let at = find(b"data").expect("its audio") + 4;
                open[at..at + 4].fill(0xff);
            }
        }
        std::fs::write(&path, &open).expect("written");
        let longer = File::options().write(true).open(&path).expect("opened");
        longer.set_len(bytes.len() as u64 + LONG_S * 16_000).expect("a hole");
        refused_file(&path, too_long);
    }
}

#[test]
fn tables_of_more_tracks_or_packets_than_can_be_are_not_walked_over() {
    refused("tracks.m4a", &mp4(2_000, 20, 1_000_000), FailureCode::AudioTooManyChannels);
    refused("packets.m4a", &mp4(8, 400, 1_000_000), FailureCode::AudioTooLong);
}

#[test]
fn headers_that_lie_harm_no_good_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let accepting = speech::settings::Audio { accept_truncated: true, ..limits() };
    let seconds = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        decode(&path, &accepting).map(|(facts, _)| facts.duration_s.round()).map_err(|failure| failure.code)
    };
    // A count of twelve hours before a minute of sound: the last frame says otherwise.
    assert_eq!(seconds("short.flac", &flac(7, LONG_S * 8_000)), Ok((7.0_f64 * 65_535.0 / 8_000.0).round()));
    // The file's own sound, and an information frame that says twelve hours.
    let mp3 = encode(folder.path(), "a.mp3", &tones(8_000, 1, 48_000), 8_000, 1, &["-b:a", "16k"]);
    let mut bytes = std::fs::read(mp3).expect("read");
    let at = bytes.windows(4).position(|word| word == b"Xing" || word == b"Info").expect("an information frame");
    bytes[at + 8..at + 12].copy_from_slice(&(LONG_S as u32 * 14).to_be_bytes());
    assert_eq!(seconds("says_12h.mp3", &bytes), Ok(6.0));
    // A duration of the segment that is not the clusters'.
    let mka = ffmpeg(&["-f", "lavfi", "-i", "sine=d=6:r=8000", "-c:a", "libopus", "-f", "matroska", "pipe:1"], b"");
    let lying = recordings::ebml::rewrite(&mka, &mut |id, body| match id {
        0x1549_a966 => Some([body, recordings::ebml::element(0x4489, &4.32e7_f64.to_be_bytes())].concat()),
        _ => Some(body),
    });
    assert_eq!(seconds("says_12h.mka", &lying), Ok(6.0));
}

#[test]
fn a_recording_as_long_as_allowed_is_not_refused_by_its_header() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, arguments) in [("a.wav", &[][..]), ("a.flac", &[]), ("a.mp3", &["-b:a", "32k"]), ("a.m4a", &[])] {
        let path = encode(folder.path(), name, &tones(16_000, 1, 160_000), 16_000, 1, arguments);
        let exact = speech::settings::Audio { max_seconds: 10.2, ..limits() };
        assert!(decode(&path, &exact).is_ok(), "{name}: {:?}", decode(&path, &exact).map(|(facts, _)| facts));
        let less = speech::settings::Audio { max_seconds: 8.0, ..limits() };
        let failure = decode(&path, &less).map(|_| ()).expect_err("too long");
        assert_eq!(failure.code, FailureCode::AudioTooLong, "{name}: {failure}");
        assert!(failure.message.contains("8 seconds"), "{failure}");
    }
}
