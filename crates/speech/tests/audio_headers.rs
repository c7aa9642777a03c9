//! What headers say of bytes is obeyed where it can be true, and forgiven where it does not concern the sound.

mod recordings;

use domain::FailureCode;
use recordings::{agreement, channel, decode, encode, limits, reference, tones};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Hz of the recordings here.
const RATE: u32 = 8_000;
/// Their samples per channel.
const COUNT: usize = 24_000;

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

/// The samples of a file with one channel; fails where it is refused.
fn samples(folder: &Path, what: &str, bytes: &[u8]) -> Vec<f32> {
    let (_, found) =
        decode(&written(folder, "a.bin", bytes), &limits()).unwrap_or_else(|failure| panic!("{what}: {failure}"));
    found[0].clone()
}

/// Tones as 16-bit samples.
fn pcm() -> Vec<u8> {
    tones(RATE, 1, COUNT).iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect()
}

/// The samples of [`pcm`] as they are decoded.
fn expected() -> Vec<f32> {
    pcm().as_chunks().0.iter().map(|sample| f32::from(i16::from_le_bytes(*sample)) / 32_768.0).collect()
}

fn chunk(id: [u8; 4], length: u32, content: &[u8]) -> Vec<u8> {
    [&id[..], &length.to_le_bytes(), content].concat()
}

fn format(bits: u16, block: u16) -> Vec<u8> {
    let numbers = [1u16.to_le_bytes(), 1u16.to_le_bytes()].concat();
    let rates = [RATE.to_le_bytes(), (RATE * u32::from(block)).to_le_bytes()].concat();
    chunk(*b"fmt ", 16, &[numbers, rates, block.to_le_bytes().to_vec(), bits.to_le_bytes().to_vec()].concat())
}

fn riff(magic: [u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    [&magic[..], &(body.len() as u32 + 4).to_le_bytes(), b"WAVE", &body].concat()
}

#[test]
fn lengths_of_audio_that_are_off_by_a_header_a_block_or_endless_are_read_to_the_end() {
    let (folder, sound, expected) = (folder(), pcm(), expected());
    let true_length = sound.len() as u32;
    let endless = [
        0,
        0x7fff_ffff,
        0x7fff_f000,
        0x7fff_efff,
        0x7fff_ec00,
        0x7fff_ffdb,
        0x8000_0000,
        0x8000_0024,
        0xffff_ffff,
        0xffff_fffe,
        0xffff_ffdb,
        0xffff_f000,
        0xffff_0000,
    ];
    let off = [1, 2, 8, 12, 36, 44].map(|more| true_length + more);
    for declared in endless.into_iter().chain(off) {
        let bytes = riff(*b"RIFF", &[format(16, 2), chunk(*b"data", declared, &sound)]);
        assert!(samples(folder.path(), &format!("{declared:#x}"), &bytes) == expected, "{declared:#x}");
    }
    // An endless stream of a codec with blocks: the multiple of the block below 2 GiB.
    let bytes = riff(*b"RIFF", &[format(24, 3), chunk(*b"data", 0x7fff_efff, &sound)]);
    assert_eq!(samples(folder.path(), "24 bit", &bytes).len(), sound.len() / 3);
    for long in [0, u64::MAX, i64::MAX.cast_unsigned(), u64::from(true_length), u64::from(true_length) + 80] {
        let sizes = [u64::MAX, long, 0].map(u64::to_le_bytes).concat();
        let ds64 = chunk(*b"ds64", 28, &[&sizes[..], &[0; 4]].concat());
        for magic in [*b"RF64", *b"BW64"] {
            let bytes = riff(magic, &[ds64.clone(), format(16, 2), chunk(*b"data", u32::MAX, &sound)]);
            assert!(samples(folder.path(), &format!("ds64 {long:#x}"), &bytes) == expected, "ds64 {long:#x}");
        }
    }
    let bytes = riff(*b"RIFF", &[format(16, 2), chunk(*b"data", true_length + 4_000, &sound)]);
    let failure = decode(&written(folder.path(), "cut.wav", &bytes), &limits()).expect_err("250 ms are missing");
    assert_eq!(failure.code, FailureCode::AudioTruncated, "{failure}");
}

#[test]
fn a_large_header_forgives_no_missing_sound() {
    let (folder, sound, expected) = (folder(), pcm(), expected());
    let junk = chunk(*b"JUNK", 65_536, &vec![0; 65_536]);
    let header = 12 + 24 + junk.len() as u32 + 8;
    let with = |declared: u32| riff(*b"RIFF", &[junk.clone(), format(16, 2), chunk(*b"data", declared, &sound)]);
    for more in [header, header - 8, 44] {
        let bytes = with(sound.len() as u32 + more);
        assert!(samples(folder.path(), &format!("{more}"), &bytes) == expected, "a length with {more} bytes of header");
    }
    let failure = decode(&written(folder.path(), "cut.wav", &with(sound.len() as u32 + 4_000)), &limits());
    let failure = failure.expect_err("4,000 bytes are missing");
    assert_eq!(failure.code, FailureCode::AudioTruncated, "{failure}");
}

#[test]
fn chunks_around_the_audio_are_no_sound() {
    let (folder, sound, expected) = (folder(), pcm(), expected());
    let title = chunk(*b"LIST", 26, b"INFOISFT\x0d\0\0\0recorder 1.2\0\0");
    let tags = [title, chunk(*b"id3 ", 3, b"abc\0")].concat();
    for declared in [0, u32::MAX, (sound.len() + tags.len()) as u32, (sound.len() + tags.len() + 44) as u32] {
        let bytes = riff(*b"RIFF", &[format(16, 2), chunk(*b"data", declared, &sound), tags.clone()]);
        assert!(samples(folder.path(), &format!("{declared:#x}"), &bytes) == expected, "{declared:#x}");
    }
    for odd in [chunk(*b"note", 3, b"abc\0"), chunk(*b"note", 3, b"abc")] {
        let bytes = riff(*b"RIFF", &[odd.clone(), format(16, 2), odd, chunk(*b"data", sound.len() as u32, &sound)]);
        assert!(samples(folder.path(), "an odd chunk", &bytes) == expected);
    }
    let bytes = riff(*b"RIFF", &[format(16, 2), chunk(*b"data", 0, b""), tags]);
    let (facts, found) = decode(&written(folder.path(), "empty.wav", &bytes), &limits()).expect("it has no samples");
    assert_eq!((facts.duration_s, found.iter().map(Vec::len).sum::<usize>()), (0.0, 0), "tags alone are no sound");
}

#[test]
fn a_block_align_that_contradicts_the_bits_is_ignored() {
    let (folder, sound, expected) = (folder(), pcm(), expected());
    for (bits, block) in [(16, 0), (16, 1), (16, 4), (16, 8), (0, 2), (12, 2)] {
        let bytes = riff(*b"RIFF", &[format(bits, block), chunk(*b"data", sound.len() as u32, &sound)]);
        let found = samples(folder.path(), &format!("{bits} bits, {block} bytes"), &bytes);
        assert!(found == expected, "{bits} bits, {block} bytes: {} samples", found.len());
    }
    // 24 of 32 bits.
    let wide: Vec<u8> = sound.as_chunks::<2>().0.iter().flat_map(|sample| [0, 0, sample[0], sample[1]]).collect();
    let bytes = riff(*b"RIFF", &[format(24, 4), chunk(*b"data", wide.len() as u32, &wide)]);
    assert!(samples(folder.path(), "24 of 32 bits", &bytes) == expected);
    // Cool Edit's floating point has the same header, and would be noise.
    let float: Vec<u8> = tones(RATE, 1, COUNT).iter().flat_map(|sample| (sample * 8e6).to_le_bytes()).collect();
    let bytes = riff(*b"RIFF", &[format(24, 4), chunk(*b"data", float.len() as u32, &float)]);
    let failure = decode(&written(folder.path(), "float.wav", &bytes), &limits()).expect_err("not integers");
    assert_eq!(failure.code, FailureCode::AudioUnsupportedCodec, "{failure}");
}

#[test]
fn the_last_block_of_adpcm_is_decoded_once() {
    let folder = folder();
    for (name, channels, arguments) in [
        ("ms.wav", 1, ["-c:a", "adpcm_ms", "-block_size", "256"]),
        ("ms2.wav", 2, ["-c:a", "adpcm_ms", "-block_size", "512"]),
        ("ima.wav", 1, ["-c:a", "adpcm_ima_wav", "-block_size", "256"]),
        ("ima2.wav", 2, ["-c:a", "adpcm_ima_wav", "-block_size", "512"]),
    ] {
        // Odd and even numbers of blocks: a packet of the demuxer has two.
        for count in [23_500, 24_000, 505, 500, 490] {
            let path = encode(folder.path(), name, &tones(RATE, channels, count), RATE, channels, &arguments);
            let expected = reference(&path);
            let (_, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
            assert_eq!(found[0].len(), expected.len() / channels, "{name} of {count} samples");
            assert!(agreement(&channel(&expected, channels, channels - 1), &found[channels - 1]) > 60.0, "{name}");
        }
    }
}

/// A FLAC file of tones.
fn flac(folder: &Path) -> Vec<u8> {
    let path = encode(folder, "a.flac", &tones(RATE, 1, COUNT), RATE, 1, &["-c:a", "flac", "-sample_fmt", "s16"]);
    std::fs::read(path).expect("readable")
}

#[test]
fn values_of_flacs_stream_information_that_dont_concern_the_sound_may_be_odd() {
    let folder = folder();
    let plain = flac(folder.path());
    let expected = samples(folder.path(), "as encoded", &plain);
    assert_eq!(expected.len(), COUNT);
    // Offsets are those of the file: the stream information begins at 8.
    let cases: [(&str, usize, &[u8]); 10] = [
        ("smallest block 0", 8, &[0, 0]),
        ("both block sizes 0", 8, &[0, 0, 0, 0]),
        ("smallest block above the largest", 8, &[0xff, 0xff]),
        ("smallest block 16", 8, &[0, 16]),
        ("largest block too small", 8, &[0, 16, 0, 16]),
        ("frame sizes 0", 12, &[0; 6]),
        ("frame sizes wrong", 12, &[0, 0, 9, 0, 0, 3]),
        ("no count of samples", 21, &[0xf0, 0, 0, 0, 0]),
        ("an endless count of samples", 21, &[0xff, 0xff, 0xff, 0xff, 0xff]),
        ("another checksum, and none", 26, &[7; 16]),
    ];
    for (what, at, value) in cases {
        let mut bytes = plain.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        assert!(samples(folder.path(), what, &bytes) == expected, "{what}");
    }
    let mut bytes = plain.clone();
    let rate = bytes[20];
    bytes[18..21].copy_from_slice(&[0, 0, rate & 15]);
    assert!(samples(folder.path(), "no rate", &bytes) == expected);
}

#[test]
fn blocks_and_tags_around_flac_frames_are_no_sound() {
    let folder = folder();
    let plain = flac(folder.path());
    let expected = samples(folder.path(), "as encoded", &plain);
    // A cue sheet with a track number of 0 and no lead-out, a picture that is cut, a second seek table.
    let blocks: [(&str, u8, Vec<u8>); 5] = [
        ("a cue sheet", 5, vec![0; 396 + 36]),
        ("an empty cue sheet", 5, vec![]),
        ("a picture", 6, vec![0xff; 40]),
        ("a broken comment", 4, vec![0xff; 9]),
        ("a reserved block", 90, vec![1, 2, 3]),
    ];
    for (what, kind, content) in blocks {
        let block = [&[kind][..], &(content.len() as u32).to_be_bytes()[1..], &content].concat();
        let bytes = [&plain[..42], &block, &block, &plain[42..]].concat();
        assert!(samples(folder.path(), what, &bytes) == expected, "{what}");
    }
    let id3v1 = [&b"TAG"[..], &[b'x'; 125]].concat();
    let ape = [&b"APETAGEX"[..], &2_000u32.to_le_bytes(), &40u32.to_le_bytes(), &[0; 16]].concat();
    let ape = [&b"an item."[..], &ape].concat();
    let lyrics = b"LYRICSBEGININD0000200000021LYRICS200".to_vec();
    for (what, tags) in [
        ("ID3v1", id3v1.clone()),
        ("APEv2", ape.clone()),
        ("Lyrics3", [lyrics, id3v1.clone()].concat()),
        ("APEv2 and ID3v1", [ape, id3v1].concat()),
    ] {
        let bytes = [&plain[..], &tags].concat();
        assert!(samples(folder.path(), what, &bytes) == expected, "{what}");
    }
}

#[test]
fn a_file_cut_in_its_first_frame_says_how_many_seconds_are_missing() {
    let folder = folder();
    let plain = flac(folder.path());
    let frame = plain.windows(2).position(|bytes| bytes == [0xff, 0xf8]).expect("a frame");
    let cut = written(folder.path(), "cut.flac", &plain[..frame + 100]);
    let failure = decode(&cut, &limits()).expect_err("nothing is left");
    assert_eq!(failure.code, FailureCode::AudioTruncated, "{failure}");
    assert!(failure.message.contains("3.0 s"), "{failure}");
}

#[test]
fn tags_behind_mp3_and_aac_are_no_sound() {
    let folder = folder();
    for (name, codec) in [("a.mp3", "libmp3lame"), ("a.aac", "aac")] {
        let path = encode(folder.path(), name, &tones(44_100, 1, 132_300), 44_100, 1, &["-c:a", codec]);
        let plain = std::fs::read(&path).expect("readable");
        let expected = samples(folder.path(), name, &plain);
        // Their text looks like the beginning of a frame.
        let tag = [&b"TAG"[..], &[0xff, 0xfb, 0x90, 0x00].repeat(31), &[0]].concat();
        assert_eq!(tag.len(), 128);
        assert!(samples(folder.path(), name, &[plain, tag].concat()) == expected, "{name}");
    }
}

#[test]
fn apples_formats_of_unknown_length_or_less_than_a_packet_short_are_whole() {
    let folder = folder();
    for (name, codec) in [("a.caf", "pcm_s16le"), ("b.caf", "pcm_s8"), ("c.caf", "alac"), ("a.aiff", "pcm_s16be")] {
        let path = encode(folder.path(), name, &tones(RATE, 1, COUNT), RATE, 1, &["-c:a", codec]);
        let plain = std::fs::read(&path).expect("readable");
        let expected = samples(folder.path(), name, &plain);
        if codec != "alac" {
            // ffmpeg ends CAF with other chunks only where packets have lengths of their own.
            for missing in [1, 100] {
                let found = samples(folder.path(), name, &plain[..plain.len() - missing]);
                assert!(expected.len() - found.len() <= 100 && expected.starts_with(&found), "{name}: {}", found.len());
            }
            let cut = written(folder.path(), "cut", &plain[..plain.len() - 4_000]);
            let failure = decode(&cut, &limits()).expect_err("a quarter of a second is missing");
            assert_eq!(failure.code, FailureCode::AudioTruncated, "{name}: {failure}");
        }
        if let (Some(data), true) = (plain.windows(4).position(|id| id == b"data"), codec.starts_with("pcm")) {
            let endless = [&plain[..data + 4], &[0xff; 8], &plain[data + 12..]].concat();
            assert!(samples(folder.path(), name, &endless) == expected, "{name} of unknown length");
        }
    }
}

#[test]
fn a_format_without_bits_and_boxes_in_front_of_the_first_are_read() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("a.wav");
    let sound = pcm();
    let format =
        [&1u16.to_le_bytes()[..], &1u16.to_le_bytes(), &RATE.to_le_bytes(), &(RATE * 2).to_le_bytes(), &[2, 0]];
    let chunks = [
        &b"RIFF\xff\xff\xff\xffWAVE"[..],
        &chunk(*b"fmt ", 14, &format.concat()),
        &chunk(*b"data", sound.len() as u32, &sound),
    ];
    std::fs::write(&path, chunks.concat()).expect("written");
    let (_, found) = decode(&path, &limits()).expect("sixteen bits, by the block");
    assert!(found[0] == expected());
    let path =
        encode(folder.path(), "a.m4a", &tones(RATE, 1, COUNT), RATE, 1, &["-c:a", "alac", "-movflags", "faststart"]);
    let plain = std::fs::read(&path).expect("readable");
    // Behind the index, so that its offsets hold.
    let begin = plain.windows(4).position(|word| word == b"moov").expect("an index") - 4;
    let free = [&[0, 0, 0, begin as u8][..], b"free", &vec![0; begin - 8]].concat();
    std::fs::write(&path, [&free[..], &plain[begin..]].concat()).expect("written");
    assert_eq!(decode(&path, &limits()).expect("decodes").1[0].len(), COUNT);
}
