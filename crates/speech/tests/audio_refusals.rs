//! What can't be analysed is refused with the code that says why, and a sentence that names it.

mod recordings;

use domain::{Failure, FailureCode};
use recordings::{decode, encode, limits, tones};
use std::path::Path;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

fn refusal(path: &Path) -> Failure {
    match decode(path, &limits()) {
        Err(failure) => failure,
        Ok((facts, _)) => panic!("{} was taken for {facts:?}", path.display()),
    }
}

fn refused(bytes: &[u8], code: FailureCode, word: &str) {
    let folder = folder();
    // The name promises a format that the content has not: it must not matter.
    let failure = refusal(&written(folder.path(), "a.wav", bytes));
    assert_eq!(failure.code, code, "{failure}");
    assert!(failure.message.contains(word), "`{}` does not mention {word}", failure.message);
}

/// A 16-bit mono WAV file with this header and content.
fn wav(tag: u16, channels: u16, rate: u32, bits: u16, declared: u32, sound: &[u8]) -> Vec<u8> {
    let block = channels * (bits / 8);
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(block)).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(declared.to_le_bytes());
    bytes.extend(sound);
    bytes
}

/// An AIFF-C file of 8 kHz, mono, whose sound has this codec.
fn aifc(codec: [u8; 4]) -> Vec<u8> {
    let rate = b"\x40\x0b\xfa\0\0\0\0\0\0\0";
    let common = [&[0, 1][..], &1_000u32.to_be_bytes(), &[0, 16], rate, &codec, b"\x01x"].concat();
    let sound = [&[0; 8][..], &[0x5a; 330]].concat();
    let chunk = |id: &[u8], body: &[u8]| [id, &(body.len() as u32).to_be_bytes(), body].concat();
    let chunks = [&b"AIFC"[..], &chunk(b"COMM", &common), &chunk(b"SSND", &sound)].concat();
    chunk(b"FORM", &chunks)
}

#[test]
fn an_empty_file_is_empty() {
    refused(b"", FailureCode::AudioEmpty, "no bytes");
}

#[test]
fn text_and_noise_are_not_audio() {
    refused(b"Agent: hello, how can I help you?\nCustomer: ...\n", FailureCode::AudioNotAudio, "no known audio format");
    refused(&vec![0; 100_000], FailureCode::AudioNotAudio, "no known audio format");
    let mut state = 5u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(300_000)
    .collect();
    refused(&noise, FailureCode::AudioNotAudio, "no known audio format");
}

#[test]
fn what_is_stored_in_place_of_a_recording_is_named() {
    for (bytes, word) in [
        (&b"<!DOCTYPE html><html><title>403 Forbidden</title></html>"[..], "web page"),
        (b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>", "XML"),
        (b"{\"error\":\"not found\"}", "JSON"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gzip"),
        (b"PK\x03\x04\x14\0", "ZIP"),
        (&b"UklGRiSAAABXQVZFZm10IBAAAAABAAEA".repeat(20), "base64"),
    ] {
        refused(bytes, FailureCode::AudioNotAudio, word);
    }
}

#[test]
fn codecs_that_cant_be_decoded_are_named() {
    refused(b"#!AMR\n\x3c\x91\x17\x16", FailureCode::AudioUnsupportedCodec, "AMR");
    refused(b".snd\0\0\0\x18\0\0\0\0", FailureCode::AudioUnsupportedCodec, "AU");
    refused(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", FailureCode::AudioUnsupportedCodec, "Windows Media");
    refused(&wav(0x31, 1, 8_000, 0, 650, &[0x5a; 650]), FailureCode::AudioUnsupportedCodec, "GSM");
    refused(&wav(0x65, 1, 16_000, 8, 650, &[0; 650]), FailureCode::AudioUnsupportedCodec, "G.722");
    refused(&wav(0x1234, 1, 16_000, 8, 650, &[0; 650]), FailureCode::AudioUnsupportedCodec, "0x1234");
    for (tag, name) in [
        (0x22, "TrueSpeech"),
        (0x38, "AMR"),
        (0x57, "AMR"),
        (0x7a21, "AMR"),
        (0x83, "G.729"),
        (0x133, "G.729"),
        (0x42, "G.723.1"),
        (0x28f, "G.722"),
        (0x64, "G.726"),
        (0x1602, "AAC in LATM"),
    ] {
        refused(&wav(tag, 1, 8_000, 8, 650, &[0; 650]), FailureCode::AudioUnsupportedCodec, name);
        refused(&wav(tag, 1, 8_000, 8, 650, &[0; 650]), FailureCode::AudioUnsupportedCodec, "ffmpeg -i");
    }
    refused(&wav(3, 1, 8_000, 16, 650, &[0; 650]), FailureCode::AudioUnsupportedCodec, "floating-point");
    let list = [&b"RIFF\xff\0\0\0WAVELIST\x10\0\0\0wavldata\x04\0\0\0"[..], &[0; 64]].concat();
    refused(&list, FailureCode::AudioUnsupportedCodec, "wavl");
    for (codec, name) in [
        (b"GSM ", "GSM 6.10"),
        (b"G722", "G.722"),
        (b"MAC3", "MACE"),
        (b"MAC6", "MACE"),
        (b"G729", "G.729"),
        (b"Zz90", "zz90"),
    ] {
        refused(&aifc(*codec), FailureCode::AudioUnsupportedCodec, name);
        refused(&aifc(*codec), FailureCode::AudioUnsupportedCodec, "ffmpeg -i");
    }
    // Frames of 20 bytes, and the same from the middle of one on.
    let loas = [&[0x56, 0xe0, 20][..], &[0x20; 20]].concat().repeat(9);
    refused(&loas, FailureCode::AudioUnsupportedCodec, "LATM");
    refused(&loas[9..], FailureCode::AudioUnsupportedCodec, "LATM");
    refused(b"#!SILK_V3\x0c\0aaaa", FailureCode::AudioUnsupportedCodec, "by the program that wrote it");
    refused(b"RIFF\x20\0\0\0QLCMfmt ", FailureCode::AudioUnsupportedCodec, "QCELP");
    let mut speex = b"OggS\0\x02".to_vec();
    speex.extend([0; 20]);
    speex.extend(b"\x01\x08Speex   ");
    refused(&speex, FailureCode::AudioUnsupportedCodec, "Speex");
    let mut discrete = b"OggS\0\x02".to_vec();
    discrete.extend([0; 20]);
    discrete.extend(b"\x01\x17OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\xff\x02\0\0\x01");
    refused(&discrete, FailureCode::AudioUnsupportedCodec, "mapping");
}

#[test]
fn streams_and_codecs_made_by_ffmpeg_that_cant_be_decoded_are_refused() {
    let folder = folder();
    let cases: [(&str, usize, &[&str], &str); 9] = [
        ("a.mp2", 1, &["-c:a", "mp2", "-b:a", "384k"], "layer II"),
        ("a.latm", 1, &["-c:a", "aac", "-f", "latm"], "LATM"),
        ("a.ts", 1, &["-c:a", "aac"], "transport stream"),
        ("a.wma", 1, &["-c:a", "wmav2"], "Windows Media"),
        ("a.au", 1, &["-c:a", "pcm_mulaw"], "AU"),
        ("a.wv", 1, &["-c:a", "wavpack"], "WavPack"),
        ("a.ac3", 1, &["-c:a", "ac3"], "AC-3"),
        ("surround.m4a", 6, &["-c:a", "aac"], "can't be decoded"),
        ("surround.ogg", 6, &["-c:a", "libvorbis"], "6 channels"),
    ];
    for (name, channels, arguments, word) in cases {
        let path = encode(folder.path(), name, &tones(44_100, channels, 44_100), 44_100, channels, arguments);
        let failure = refusal(&path);
        assert_eq!(failure.code, FailureCode::AudioUnsupportedCodec, "{name}: {failure}");
        assert!(failure.message.contains(word), "{name}: {failure}");
    }
}

#[test]
fn aac_with_sbr_is_refused_rather_than_decoded_in_part() {
    let folder = folder();
    let path = encode(folder.path(), "a.m4a", &tones(22_050, 2, 44_100), 22_050, 2, &["-c:a", "aac"]);
    let plain = std::fs::read(&path).expect("readable");
    // The configuration of AAC-LC, 22.05 kHz, stereo, as ffmpeg writes it, in the esds box.
    let at = plain.windows(4).position(|bytes| bytes == [0x05, 0x80, 0x80, 0x80]).expect("a configuration") + 5;
    assert_eq!(plain[at..at + 2], [0x13, 0x90]);
    for (configuration, name) in [([0x2b, 0x92], "HE-AAC"), ([0xeb, 0x92], "HE-AAC v2")] {
        let mut bytes = plain.clone();
        bytes[at..at + 2].copy_from_slice(&configuration);
        let failure = refusal(&written(folder.path(), "he.m4a", &bytes));
        assert_eq!(failure.code, FailureCode::AudioUnsupportedCodec, "{failure}");
        assert!(failure.message.contains(name), "{failure}");
    }
    // Signalled by nothing but the container's rate, twice that of the core.
    let entry = plain.windows(4).position(|bytes| bytes == b"mp4a").expect("a sample entry");
    let mut bytes = plain.clone();
    bytes[entry + 28..entry + 30].copy_from_slice(&44_100u16.to_be_bytes());
    let failure = refusal(&written(folder.path(), "implicit.m4a", &bytes));
    assert!(failure.message.contains("HE-AAC"), "{failure}");
}

#[test]
fn impossible_headers_are_refused() {
    refused(&wav(1, 1, 0, 16, 200, &[0; 200]), FailureCode::AudioBadHeader, "0 Hz");
    refused(&wav(1, 0, 8_000, 16, 200, &[0; 200]), FailureCode::AudioBadHeader, "0 channels");
    refused(&wav(1, 1, 8_000, 48, 200, &[0; 200]), FailureCode::AudioBadHeader, "48 bits");
    refused(&wav(1, 1, 4_000_000, 16, 200, &[0; 200]), FailureCode::AudioBadHeader, "4000000 Hz");
    refused(b"RIFF\xff\xff\xff\xffWAVEdata\x04\0\0\0abcd", FailureCode::AudioBadHeader, "format");
}

#[test]
fn a_packet_as_long_as_memory_is_refused_before_room_is_made_for_it() {
    let folder = folder();
    for (name, codec) in [("a.caf", "pcm_s16le"), ("b.caf", "pcm_f64be"), ("c.caf", "alac"), ("d.caf", "adpcm_ima_qt")]
    {
        let arguments = if codec == "adpcm_ima_qt" { vec!["-c:a", "pcm_alaw"] } else { vec!["-c:a", codec] };
        let path = encode(folder.path(), name, &tones(8_000, 1, 8_000), 8_000, 1, &arguments);
        let mut bytes = std::fs::read(&path).expect("readable");
        assert_eq!(&bytes[8..12], b"desc");
        if codec == "adpcm_ima_qt" {
            bytes[28..32].copy_from_slice(b"ima4");
            bytes[36..40].copy_from_slice(&34u32.to_be_bytes());
        }
        bytes[40..44].copy_from_slice(&u32::MAX.to_be_bytes());
        let failure = refusal(&written(folder.path(), "endless.caf", &bytes));
        assert_eq!(failure.code, FailureCode::AudioBadHeader, "{name}: {failure}");
    }
}

#[test]
fn tables_and_packets_that_would_fill_the_memory_are_refused() {
    let folder = folder();
    // AAC whose packet table states more packets than any recording has, with zeros for as long as the file is
    let description =
        [&8_000_f64.to_be_bytes()[..], b"aac ", &[0; 8], &1_024_u32.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 0]];
    let description = description.concat();
    for before in [0, 600] {
        let mut bytes = [&b"caff\x00\x01\x00\x00desc\0\0\0\0\0\0\0\x20"[..], &description].concat();
        bytes.extend(b"free\0\0\0\0\0\0\0\0".repeat(before));
        bytes.extend(b"pakt\0\0\0\0\0\x10\0\0");
        bytes.extend((1_u64 << 62).to_be_bytes());
        bytes.resize(bytes.len() + (1 << 20), 0);
        let failure = refusal(&written(folder.path(), "table.caf", &bytes));
        assert_eq!(failure.code, FailureCode::AudioBadHeader, "{before}: {failure}");
    }
    // One packet of six megabytes
    let arguments = ["-af", "asetnsamples=n=3000000", "-c:a", "pcm_s16le"];
    let path = encode(folder.path(), "a.mka", &tones(8_000, 1, 3_000_000), 8_000, 1, &arguments);
    let failure = decode(&path, &limits()).expect_err("a packet of minutes");
    assert_eq!(failure.code, FailureCode::AudioBadHeader, "{failure}");
    assert!(failure.message.contains("packet"), "{failure}");
}

#[test]
fn a_caf_description_that_overlaps_the_audio_is_refused() {
    let folder = folder();
    // A description of no bytes, in whose place the audio begins, of a codec that has its header written anew
    let mut bytes = b"caff\x00\x01\x00\x00desc\0\0\0\0\0\0\0\0data".to_vec();
    bytes.extend([0x80, 0, 0, 0, b'm', b's', 0, 2]);
    bytes.resize(4_096, 1);
    let failure = refusal(&written(folder.path(), "overlap.caf", &bytes));
    assert_eq!(failure.code, FailureCode::AudioBadHeader, "{failure}");
    // and audio of fewer bytes than count its edits, at the end of the file.
    let path = encode(folder.path(), "a.caf", &tones(8_000, 1, 8_000), 8_000, 1, &["-c:a", "libmp3lame"]);
    let whole = std::fs::read(&path).expect("readable");
    let data = whole.windows(4).position(|four| four == b"data").expect("it has audio");
    for left in 0..6 {
        let failure = refusal(&written(folder.path(), "short.caf", &whole[..data + 12 + left]));
        assert_eq!(failure.code, FailureCode::AudioTruncated, "{left} bytes: {failure}");
    }
}

#[test]
fn files_that_end_too_early_are_truncated_unless_that_is_accepted() {
    let folder = folder();
    let cases: [(&str, &[&str]); 9] = [
        ("a.wav", &["-c:a", "pcm_s16le"]),
        ("a.aiff", &["-c:a", "pcm_s16be"]),
        ("a.caf", &["-c:a", "pcm_s16le"]),
        ("a.flac", &["-c:a", "flac"]),
        ("a.mp3", &["-c:a", "libmp3lame"]),
        ("a.m4a", &["-c:a", "aac", "-movflags", "faststart"]),
        ("a.ogg", &["-c:a", "libvorbis"]),
        ("a.opus", &["-c:a", "libopus"]),
        ("a.webm", &["-c:a", "libopus"]),
    ];
    let mut accepting = limits();
    accepting.accept_truncated = true;
    for (name, arguments) in cases {
        let path = encode(folder.path(), name, &tones(48_000, 2, 240_000), 48_000, 2, arguments);
        let (_, all) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes.truncate(bytes.len() * 6 / 10);
        let cut = written(folder.path(), &format!("cut_{name}"), &bytes);
        let failure = refusal(&cut);
        assert_eq!(failure.code, FailureCode::AudioTruncated, "{name}: {failure}");
        if matches!(name, "a.aiff" | "a.caf" | "a.m4a" | "a.webm") {
            let failure = decode(&cut, &accepting).expect_err("their demuxers can't read a part");
            assert_eq!(failure.code, FailureCode::AudioTruncated, "{name}, accepted: {failure}");
            continue;
        }
        let (_, part) = decode(&cut, &accepting).unwrap_or_else(|failure| panic!("{name}, accepted: {failure}"));
        let share = part[0].len() as f64 / all[0].len() as f64;
        assert!((0.3..0.8).contains(&share), "{name}: {share} of the sound is left");
    }
    let path = encode(folder.path(), "late.m4a", &tones(48_000, 1, 240_000), 48_000, 1, &["-c:a", "aac"]);
    let bytes = std::fs::read(&path).expect("readable");
    let failure = refusal(&written(folder.path(), "cut_late.m4a", &bytes[..bytes.len() / 2]));
    assert_eq!(failure.code, FailureCode::AudioTruncated, "the index is lost: {failure}");
}

#[test]
fn damage_is_tolerated_while_it_is_isolated() {
    let folder = folder();
    let path = encode(folder.path(), "a.mp3", &tones(44_100, 1, 441_000), 44_100, 1, &["-c:a", "libmp3lame"]);
    let mut bytes = std::fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 200].fill(0xff);
    let (facts, _) = decode(&written(folder.path(), "scratched.mp3", &bytes), &limits()).expect("mostly whole");
    assert!((facts.duration_s - 10.0).abs() < 0.2, "{} s are left", facts.duration_s);

    let path = encode(folder.path(), "a.opus", &tones(48_000, 1, 480_000), 48_000, 1, &["-c:a", "libopus"]);
    let mut bytes = std::fs::read(&path).expect("readable");
    for (n, byte) in bytes.iter_mut().enumerate().skip(2_000) {
        if n % 7 == 0 {
            *byte ^= 0x5a;
        }
    }
    let failure = refusal(&written(folder.path(), "ruined.opus", &bytes));
    assert!(matches!(failure.code, FailureCode::AudioCorrupt | FailureCode::AudioTruncated), "{failure}");
}

#[test]
fn recordings_over_the_limits_are_refused() {
    let folder = folder();
    let mut tight = limits();
    tight.max_seconds = 2.0;
    tight.max_channels = 2;
    // Silence packs a thousandfold: the limit is on what is decoded, not on the file.
    let bomb = encode(folder.path(), "bomb.flac", &vec![0.0; 16_000 * 600], 16_000, 1, &["-c:a", "flac"]);
    let failure = decode(&bomb, &tight).expect_err("too long");
    assert_eq!(failure.code, FailureCode::AudioTooLong, "{failure}");
    let wide = encode(folder.path(), "wide.wav", &tones(8_000, 6, 8_000), 8_000, 6, &["-c:a", "pcm_s16le"]);
    let failure = decode(&wide, &tight).expect_err("too many channels");
    assert_eq!(failure.code, FailureCode::AudioTooManyChannels, "{failure}");
}

#[test]
fn samples_that_are_not_numbers_become_silence_and_others_are_clipped_to_full_scale() {
    let folder = folder();
    let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3.0, -7.5, 0.25];
    let sound: Vec<u8> = values.iter().cycle().take(6_000).flat_map(|s| s.to_le_bytes()).collect();
    let bytes = wav(3, 1, 16_000, 32, sound.len() as u32, &sound);
    let (_, found) = decode(&written(folder.path(), "a.wav", &bytes), &limits()).expect("decodes");
    assert_eq!(found[0][..6], [0.0, 0.0, 0.0, 1.0, -1.0, 0.25]);
}
