//! Every format is decoded as ffmpeg decodes it: as many samples, and the same ones.

mod recordings;

use recordings::{agreement, channel, decode, encode, limits, reference, tones};
use std::path::Path;

/// A format under test.
struct Format {
    name: &'static str,
    arguments: &'static [&'static str],
    rates: &'static [u32],
    channels: &'static [usize],
    /// Samples per channel by which the count may differ from ffmpeg's.
    slack: usize,
    /// Least agreement with ffmpeg's decoder, dB: decoders of a lossy codec round differently.
    agreement: f64,
}

const ALL_RATES: &[u32] = &[8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000];
const ALL_CHANNELS: &[usize] = &[1, 2, 6, 8];

/// Encodes, decodes with both, compares; all differences are reported at once.
fn compare(format: &Format) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut wrong = Vec::new();
    for rate in format.rates {
        for channels in format.channels {
            // Not a multiple of any codec's frame, so that padding shows; and longer than one page
            // of Ogg, in which ffmpeg does not find the end of Vorbis.
            let samples = tones(*rate, *channels, *rate as usize * 4 / 3 + 17);
            let path = encode(folder.path(), format.name, &samples, *rate, *channels, format.arguments);
            if let Err(what) = check(&path, *channels, format) {
                wrong.push(format!("{} at {rate} Hz, {channels} channels: {what}", format.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn check(path: &Path, channels: usize, format: &Format) -> Result<(), String> {
    let expected = reference(path);
    let (facts, found) = decode(path, &limits()).map_err(|failure| failure.to_string())?;
    if usize::from(facts.channels) != channels {
        return Err(format!("{} channels were found", facts.channels));
    }
    let (count, expected_count) = (found[0].len(), expected.len() / channels);
    let least = (0..channels)
        .map(|number| agreement(&channel(&expected, channels, number), &found[number]))
        .fold(f64::INFINITY, f64::min);
    let line = format!(
        "{count} samples, ffmpeg {expected_count}; agreement {least:.1} dB; {} in {}",
        facts.codec, facts.container
    );
    println!("{}: {line}", path.display());
    if count.abs_diff(expected_count) > format.slack || least < format.agreement {
        return Err(line);
    }
    Ok(())
}

macro_rules! formats {
    ($( $test:ident: $name:literal, $arguments:expr, $rates:expr, $channels:expr, $slack:literal, $agreement:literal; )*) => {
        $( #[test]
        fn $test() {
            compare(&Format {
                name: $name,
                arguments: &$arguments,
                rates: $rates,
                channels: $channels,
                slack: $slack,
                agreement: $agreement,
            });
        } )*
    };
}

formats! {
    wav_16_bit: "a.wav", ["-c:a", "pcm_s16le"], ALL_RATES, ALL_CHANNELS, 0, 90.0;
    wav_8_bit: "a.wav", ["-c:a", "pcm_u8"], &[8_000, 48_000], ALL_CHANNELS, 0, 90.0;
    wav_24_bit: "a.wav", ["-c:a", "pcm_s24le"], &[8_000, 192_000], ALL_CHANNELS, 0, 90.0;
    wav_32_bit: "a.wav", ["-c:a", "pcm_s32le"], &[44_100], ALL_CHANNELS, 0, 90.0;
    wav_float: "a.wav", ["-c:a", "pcm_f32le"], &[22_050, 96_000], ALL_CHANNELS, 0, 90.0;
    wav_double: "a.wav", ["-c:a", "pcm_f64le"], &[16_000], ALL_CHANNELS, 0, 90.0;
    wav_a_law: "a.wav", ["-c:a", "pcm_alaw"], &[8_000, 16_000], &[1, 2, 6], 0, 90.0;
    wav_mu_law: "a.wav", ["-c:a", "pcm_mulaw"], &[8_000, 11_025], &[1, 2, 6], 0, 90.0;
    wav_ima_adpcm: "a.wav", ["-c:a", "adpcm_ima_wav"], &[8_000, 22_050, 44_100], &[1, 2], 0, 60.0;
    wav_ms_adpcm: "a.wav", ["-c:a", "adpcm_ms"], &[8_000, 22_050, 44_100], &[1, 2], 0, 60.0;
    wav_past_4_gib_header: "a.wav", ["-c:a", "pcm_s16le", "-rf64", "always"], &[16_000], &[2], 0, 90.0;
    wav_holding_mp3: "a.wav", ["-c:a", "libmp3lame"], &[44_100], &[2], 0, 60.0;
    aiff: "a.aiff", ["-c:a", "pcm_s16be"], &[8_000, 44_100], &[1, 2], 0, 90.0;
    caf: "a.caf", ["-c:a", "pcm_s16le"], &[8_000, 44_100], &[1, 2], 0, 90.0;
    flac: "a.flac", ["-c:a", "flac"], &[8_000, 44_100, 192_000], ALL_CHANNELS, 0, 90.0;
    flac_in_ogg: "a.oga", ["-c:a", "flac"], &[16_000, 44_100], &[1, 2], 0, 90.0;
    alac: "a.m4a", ["-c:a", "alac"], &[8_000, 44_100, 96_000], &[1, 2], 0, 90.0;
    mp3: "a.mp3", ["-c:a", "libmp3lame"], &[8_000, 11_025, 16_000, 22_050, 44_100, 48_000], &[1, 2], 0, 60.0;
    mp3_without_its_info_frame: "a.mp3", ["-c:a", "libmp3lame", "-write_xing", "0"], &[16_000, 44_100], &[1, 2], 0, 60.0;
    mp3_of_variable_rate_without_its_info_frame: "a.mp3", ["-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0"], &[8_000, 48_000], &[1, 2], 0, 60.0;
    mp2: "a.mp2", ["-c:a", "mp2", "-b:a", "128k"], &[16_000, 44_100], &[1, 2], 0, 60.0;
    aac_in_m4a: "a.m4a", ["-c:a", "aac"], &[8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000], &[1, 2], 0, 60.0;
    aac_in_adts: "a.aac", ["-c:a", "aac"], &[8_000, 16_000, 44_100, 48_000], &[1, 2], 0, 60.0;
    aac_in_mov: "a.mov", ["-c:a", "aac"], &[16_000, 48_000], &[1, 2], 0, 60.0;
    aac_in_fragments: "a.mp4", ["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"], &[44_100], &[2], 0, 60.0;
    aac_in_matroska: "a.mka", ["-c:a", "aac"], &[16_000, 44_100], &[1, 2], 0, 60.0;
    vorbis: "a.ogg", ["-c:a", "libvorbis"], ALL_RATES, &[1, 2], 0, 60.0;
    vorbis_in_webm: "a.webm", ["-c:a", "libvorbis"], &[16_000, 44_100], &[1, 2], 0, 60.0;
    opus: "a.opus", ["-c:a", "libopus"], &[8_000, 16_000, 48_000], ALL_CHANNELS, 0, 40.0;
    opus_for_telephony: "a.opus", ["-c:a", "libopus", "-application", "voip", "-b:a", "16k", "-frame_duration", "60"], &[8_000, 16_000], &[1, 2], 0, 40.0;
    opus_in_webm: "a.webm", ["-c:a", "libopus"], &[16_000, 48_000], &[1, 2], 0, 40.0;
    opus_in_mp4: "a.mp4", ["-c:a", "libopus"], &[48_000], &[1, 2], 0, 40.0;
    opus_in_fragments: "a.mp4", ["-c:a", "libopus", "-movflags", "frag_keyframe+empty_moov"], &[48_000], &[1, 2], 0, 40.0;
}

// Codecs under the names of QuickTime, CAF, AIFF-C and Matroska. ffmpeg's decoder of IMA4 goes on from the block before
// where it can, ours from each block's own header.
formats! {
    mov_8_bit: "a.mov", ["-c:a", "pcm_s8"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_unsigned_8_bit: "a.mov", ["-c:a", "pcm_u8"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_16_bit: "a.mov", ["-c:a", "pcm_s16be"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_little_endian_16_bit: "a.mov", ["-c:a", "pcm_s16le"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_24_bit: "a.mov", ["-c:a", "pcm_s24be"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_little_endian_24_bit: "a.mov", ["-c:a", "pcm_s24le"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_32_bit: "a.mov", ["-c:a", "pcm_s32be"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_little_endian_32_bit: "a.mov", ["-c:a", "pcm_s32le"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_float: "a.mov", ["-c:a", "pcm_f32be"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_little_endian_float: "a.mov", ["-c:a", "pcm_f32le"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_double: "a.mov", ["-c:a", "pcm_f64be"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_mu_law: "a.mov", ["-c:a", "pcm_mulaw"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_a_law: "a.mov", ["-c:a", "pcm_alaw"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_alac: "a.mov", ["-c:a", "alac"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    mov_of_a_high_rate: "a.mov", ["-c:a", "pcm_s24le"], &[96_000], &[1, 2, 6], 0, 90.0;
    mov_ima4: "a.mov", ["-c:a", "adpcm_ima_qt"], &[8_000, 44_100], &[1, 2], 0, 25.0;
    mov_ima_adpcm: "a.mov", ["-c:a", "adpcm_ima_wav"], &[8_000, 44_100], &[1, 2], 0, 60.0;
    mov_ms_adpcm: "a.mov", ["-c:a", "adpcm_ms"], &[8_000, 44_100], &[1, 2], 0, 60.0;
    mov_mp2: "a.mov", ["-c:a", "mp2", "-b:a", "128k"], &[44_100], &[1, 2], 0, 60.0;
    mov_mp3: "a.mov", ["-c:a", "libmp3lame"], &[44_100], &[1, 2], 0, 60.0;
    mp2_in_mp4: "a.mp4", ["-c:a", "mp2", "-b:a", "128k"], &[22_050, 48_000], &[1, 2], 0, 60.0;
    mp3_in_mp4: "a.mp4", ["-c:a", "libmp3lame"], &[22_050, 48_000], &[1, 2], 0, 60.0;
    flac_in_mp4: "a.mp4", ["-c:a", "flac", "-strict", "-2"], &[16_000, 96_000], &[1, 2], 0, 90.0;
    caf_mp3: "a.caf", ["-c:a", "libmp3lame"], &[8_000, 16_000, 22_050, 24_000, 44_100, 48_000], &[1, 2], 0, 60.0;
    caf_mp2: "a.caf", ["-c:a", "mp2", "-b:a", "128k"], &[16_000, 22_050, 24_000, 44_100, 48_000], &[1, 2], 0, 60.0;
    caf_8_bit: "a.caf", ["-c:a", "pcm_s8"], &[8_000], &[1, 2], 0, 90.0;
    caf_mu_law: "a.caf", ["-c:a", "pcm_mulaw"], &[8_000], &[1, 2], 0, 90.0;
    caf_a_law: "a.caf", ["-c:a", "pcm_alaw"], &[8_000], &[1, 2], 0, 90.0;
    caf_float: "a.caf", ["-c:a", "pcm_f32be"], &[8_000], &[1, 2], 0, 90.0;
    caf_ima4: "a.caf", ["-c:a", "adpcm_ima_qt"], &[8_000, 44_100], &[1, 2], 0, 25.0;
    caf_ima_adpcm: "a.caf", ["-c:a", "adpcm_ima_wav"], &[8_000], &[1, 2], 0, 60.0;
    caf_ms_adpcm: "a.caf", ["-c:a", "adpcm_ms"], &[8_000], &[1, 2], 0, 60.0;
    aiff_ima4: "a.aiff", ["-c:a", "adpcm_ima_qt"], &[8_000, 44_100], &[1, 2], 0, 25.0;
    aiff_mu_law: "a.aiff", ["-c:a", "pcm_mulaw"], &[8_000], &[1, 2], 0, 90.0;
    matroska_8_bit: "a.mka", ["-c:a", "pcm_u8"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    matroska_big_endian: "a.mka", ["-c:a", "pcm_s16be"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    matroska_24_bit_big_endian: "a.mka", ["-c:a", "pcm_s24be"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    matroska_double: "a.mka", ["-c:a", "pcm_f64le"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    matroska_mu_law: "a.mka", ["-c:a", "pcm_mulaw"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    matroska_a_law: "a.mka", ["-c:a", "pcm_alaw"], &[8_000, 48_000], &[1, 2], 0, 90.0;
    matroska_ms_adpcm: "a.mka", ["-c:a", "adpcm_ms"], &[8_000, 44_100], &[1, 2], 0, 60.0;
    matroska_ima_adpcm: "a.mka", ["-c:a", "adpcm_ima_wav"], &[8_000, 44_100], &[1, 2], 0, 60.0;
    matroska_mp2: "a.mka", ["-c:a", "mp2", "-b:a", "128k"], &[44_100], &[1, 2], 0, 60.0;
}

#[test]
fn the_audio_of_a_video_is_decoded() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, video, sound) in
        [("v.mp4", "mpeg4", "aac"), ("v.mkv", "mpeg4", "libopus"), ("v.webm", "libvpx", "libvorbis")]
    {
        let picture =
            ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=2", "-shortest", "-c:v", video, "-c:a", sound];
        let path = encode(folder.path(), name, &tones(16_000, 1, 32_000), 16_000, 1, &picture);
        let format = Format { name: "video", arguments: &[], rates: &[], channels: &[], slack: 0, agreement: 40.0 };
        check(&path, 1, &format).unwrap_or_else(|what| panic!("{name}: {what}"));
    }
}

#[test]
fn a_wav_of_unknown_length_written_to_a_pipe_is_read_to_its_end() {
    let samples = tones(8_000, 2, 20_001);
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let piped =
        recordings::ffmpeg(&["-f", "f32le", "-ar", "8000", "-ac", "2", "-i", "pipe:0", "-f", "wav", "pipe:1"], &bytes);
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, length) in [("ffmpeg.wav", None), ("zero.wav", Some(0u32)), ("sox.wav", Some(0x7fff_f000))] {
        let mut written = piped.clone();
        if let Some(length) = length {
            let data = written.windows(4).position(|bytes| bytes == b"data").expect("a data chunk");
            written[data + 4..data + 8].copy_from_slice(&length.to_le_bytes());
        }
        let path = folder.path().join(name);
        std::fs::write(&path, written).expect("written");
        let (facts, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!((facts.channels, found[0].len()), (2, 20_001), "{name}");
    }
}

#[test]
fn chained_ogg_streams_are_all_decoded() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let cases: [(&str, u32, usize, &[&str]); 4] = [
        ("a.ogg", 44_100, 2, &["-c:a", "libvorbis"]),
        ("a.ogg", 8_000, 1, &["-c:a", "libvorbis"]),
        ("a.opus", 48_000, 1, &["-c:a", "libopus"]),
        ("a.oga", 16_000, 2, &["-c:a", "flac"]),
    ];
    for (name, rate, channels, arguments) in cases {
        let mut chained = Vec::new();
        let mut expected = vec![Vec::new(); channels];
        for (link, seconds) in [1.5, 2.25, 0.8].into_iter().enumerate() {
            // Not the same sound, and each with a stream number of its own, as the standard has it.
            let samples = tones(rate, channels, (f64::from(rate) * seconds) as usize);
            let serial = format!("{}", 7 + link);
            let arguments = [arguments, &["-serial_offset", serial.as_str()]].concat();
            let path = encode(folder.path(), name, &samples, rate, channels, &arguments);
            let (_, alone) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
            expected.iter_mut().zip(alone).for_each(|(all, link)| all.extend(link));
            chained.extend(std::fs::read(&path).expect("readable"));
        }
        let path = folder.path().join(format!("chained_{name}"));
        std::fs::write(&path, &chained).expect("written");
        let (facts, found) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        println!("{name}: {} samples of {}", found[0].len(), expected[0].len());
        assert!(found == expected, "{name}: {} samples of {}", found[0].len(), expected[0].len());
        assert!((facts.duration_s - 4.55).abs() < 0.05, "{name}: {} s", facts.duration_s);

        // A stream of another rate can't be part of one report, and is never left out silently.
        let other = if name == "a.opus" { "other.ogg" } else { name };
        let codec = if name == "a.opus" { &["-c:a", "libvorbis"] } else { arguments };
        let odd = encode(folder.path(), other, &tones(22_050, channels, 22_050), 22_050, channels, codec);
        let mut mixed = chained.clone();
        mixed.extend(std::fs::read(odd).expect("readable"));
        std::fs::write(&path, &mixed).expect("written");
        let failure = decode(&path, &limits()).expect_err("the rate or codec changes");
        assert_eq!(failure.code, domain::FailureCode::AudioCorrupt, "{name}: {failure}");
        assert!(failure.message.contains("changes"), "{name}: {failure}");
    }
}

#[test]
fn concatenated_mp3_files_are_all_decoded() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let without: [&[&str]; 2] = [&[], &["-write_xing", "0", "-id3v2_version", "0"]];
    for more in without {
        let arguments = [&["-c:a", "libmp3lame"], more].concat();
        let parts: Vec<Vec<u8>> = [1.5, 2.5]
            .map(|seconds| {
                let samples = tones(44_100, 1, (44_100.0 * seconds) as usize);
                let path = encode(folder.path(), "a.mp3", &samples, 44_100, 1, &arguments);
                std::fs::read(path).expect("readable")
            })
            .to_vec();
        let path = folder.path().join("joined.mp3");
        std::fs::write(&path, parts.concat()).expect("written");
        let (facts, _) = decode(&path, &limits()).unwrap_or_else(|failure| panic!("{more:?}: {failure}"));
        // Each brings its encoder's delay and padding along, and one may bring a frame that only counts.
        assert!((4.0..4.25).contains(&facts.duration_s), "{more:?}: {} s of 4", facts.duration_s);
    }
}
