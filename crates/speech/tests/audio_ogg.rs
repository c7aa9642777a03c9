//! Opus in Ogg whose pages have wrong times: no sound is lost and no silence invented, and true gaps are kept.

mod recordings;

use domain::channel::Track;
use domain::{Failure, Role};
use recordings::{decode, encode, ffmpeg, limits, tones};
use settings::Settings;
use speech::audio::{Preprocess, Preprocessed, Sink, SpeechSegment, VoiceDetector};
use speech::runtime::Runtime;
use std::fs::File;
use std::path::Path;

/// Another time of a page, by its number, how many there are, and its time.
type Change<'a> = &'a dyn Fn(usize, usize, u64) -> u64;

/// The granule position of a page on which no packet ends.
const NONE: u64 = u64::MAX;

/// A page: its header with the table, and its body.
fn pages(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !file.is_empty() {
        let table = usize::from(file[26]);
        let length = 27 + table + file[27..27 + table].iter().map(|n| usize::from(*n)).sum::<usize>();
        found.push(file[..length].to_vec());
        file = &file[length..];
    }
    found
}

fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

fn sealed(mut page: Vec<u8>) -> Vec<u8> {
    page[22..26].fill(0);
    let sum = checksum(&page);
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

/// The file with other times on its pages of sound. `change` gets a page's number, how many there are, and its time.
fn with_times(file: &[u8], change: impl Fn(usize, usize, u64) -> u64) -> Vec<u8> {
    let pages = pages(file);
    let count = pages.len() - 2;
    let changed = pages.into_iter().enumerate().map(|(number, mut page)| {
        if number >= 2 {
            let time = u64::from_le_bytes(page[6..14].try_into().expect("eight bytes"));
            page[6..14].copy_from_slice(&change(number - 2, count, time).to_le_bytes());
        }
        sealed(page)
    });
    changed.collect::<Vec<_>>().concat()
}

fn samples(path: &Path, bytes: &[u8]) -> Vec<f32> {
    std::fs::write(path, bytes).expect("written");
    let (_, mut found) = decode(path, &limits()).unwrap_or_else(|failure| panic!("{}: {failure}", path.display()));
    found.remove(0)
}

/// Five seconds of tones on pages of 100 ms, and the same with three seconds of silence in the middle.
fn plain_and_with_gap(folder: &Path) -> [Vec<u8>; 2] {
    let arguments = ["-c:a", "libopus", "-page_duration", "100000"];
    let whole = encode(folder, "whole.opus", &tones(48_000, 1, 240_000), 48_000, 1, &arguments);
    let path = folder.join("gap.opus");
    let filter = "setts=pts=if(gte(PTS*TB\\,2)\\,PTS+3/TB\\,PTS):dts=if(gte(PTS*TB\\,2)\\,PTS+3/TB\\,PTS)";
    let (from, to) = (whole.to_string_lossy(), path.to_string_lossy());
    let copy = ["-copyts", "-i", &from, "-c", "copy", "-bsf:a", filter, "-page_duration", "100000", &to];
    ffmpeg(&copy, b"");
    [whole, path].map(|path| std::fs::read(path).expect("readable"))
}

#[test]
fn times_that_contradict_all_packets_lose_no_sound_and_invent_no_silence() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("a.opus");
    let [plain, _] = plain_and_with_gap(folder.path());
    let expected = samples(&path, &plain);
    assert_eq!(expected.len(), 240_000, "the padding of the last page is cut off");
    let short = encode(folder.path(), "b.opus", &tones(48_000, 1, 20_000), 48_000, 1, &["-c:a", "libopus"]);
    let short = std::fs::read(short).expect("readable");
    let short_expected = samples(&path, &short);
    let cases: [(&str, Change); 8] = [
        ("all 0", &|_, _, _| 0),
        ("none", &|_, _, _| NONE),
        ("counted at 16 kHz", &|_, _, time| time / 3),
        ("counted at 8 kHz", &|_, _, time| time / 6),
        ("counted at 24 kHz", &|_, _, time| time / 2),
        ("counted at 96 kHz", &|_, _, time| time * 2),
        ("nanoseconds", &|_, _, time| time * 20_833),
        ("the number of the page", &|number, _, _| number as u64),
    ];
    for (name, change) in cases {
        let found = samples(&path, &with_times(&plain, change));
        assert!(found.len() - expected.len() < 1_920, "{name}: {} samples", found.len());
        assert!(found[..expected.len()] == expected, "{name}");
        if !name.contains("96 kHz") && !name.contains("nano") {
            let found = samples(&path, &with_times(&short, change));
            assert!(found.len() - short_expected.len() < 1_920, "{name}: {} samples", found.len());
            assert!(found[..short_expected.len()] == short_expected, "{name}");
        }
    }
}

#[test]
fn wrong_times_on_some_pages_lose_neither_sound_nor_gaps() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("a.opus");
    let [plain, with_gap] = plain_and_with_gap(folder.path());
    let (expected, with_silence) = (samples(&path, &plain), samples(&path, &with_gap));
    assert!(with_silence.len().abs_diff(expected.len() + 144_000) < 960, "{} samples", with_silence.len());
    let cases: [(&str, Change); 7] = [
        ("one without", &|number, _, time| if number == 9 { NONE } else { time }),
        ("every third without", &|number, _, time| if number % 3 == 1 { NONE } else { time }),
        ("two of 0", &|number, _, time| if matches!(number, 9 | 10) { 0 } else { time }),
        ("one far ahead", &|number, _, time| if number == 9 { 900_000_000 } else { time }),
        ("the first far ahead", &|number, _, time| if number == 0 { 900_000_000 } else { time }),
        ("joined late", &|_, _, time| time + 900_000_000),
        ("jumps back", &|number, _, time| if number < 8 { time + 900_000_000 } else { time }),
    ];
    for (name, change) in cases {
        for (file, expected) in [(&plain, &expected), (&with_gap, &with_silence)] {
            let found = samples(&path, &with_times(file, change));
            assert_eq!(found.len(), expected.len(), "{name}");
            assert!(found == *expected, "{name}");
        }
    }
}

#[test]
fn damaged_and_lost_pages_are_silence_in_their_place_though_others_have_no_time() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("a.opus");
    let [plain, _] = plain_and_with_gap(folder.path());
    let expected = samples(&path, &plain);
    let cut = |damage: bool| {
        let mut pages = pages(&with_times(&plain, |number, _, time| if number % 7 == 3 { NONE } else { time }));
        for page in &mut pages[12..15] {
            if damage { *page.last_mut().expect("a body") ^= 0x55 } else { page.clear() }
        }
        pages.concat()
    };
    for damage in [false, true] {
        let found = samples(&path, &cut(damage));
        assert_eq!(found.len(), expected.len(), "{damage}");
        assert!(found[..44_000] == expected[..44_000], "{damage}");
        assert!(
            found[80_000..] == expected[80_000..]
                || recordings::agreement(&expected[80_000..], &found[80_000..]) > 15.0
        );
        assert!(found[56_000..60_000].iter().all(|s| *s == 0.0), "{damage}");
    }
}

/// Keeps nothing.
struct Ignore;

impl Sink for Ignore {
    fn block(&mut self, _: &[Vec<f32>]) -> Result<(), Failure> {
        Ok(())
    }

    fn segment(&mut self, _: SpeechSegment) -> Result<(), Failure> {
        Ok(())
    }
}

fn analysed(path: &Path) -> Preprocessed {
    let settings = Settings::load().expect("the settings are valid");
    let runtime = Runtime::load(&settings.runtime).unwrap_or_else(|error| panic!("{error}"));
    let detector = VoiceDetector::load(&runtime).expect("Silero's model loads");
    let preprocess = Preprocess { audio: &limits(), segment: &settings.segment, vad: &detector };
    let layout = |_| Ok(vec![Track { channel: Some(0), role: Role::Speaker, scored: true }]);
    preprocess.run(File::open(path).expect("readable"), layout, &mut Ignore).expect("analysed")
}

#[test]
fn bytes_behind_the_sound_that_are_none_are_a_warning_and_tags_and_chunks_are_not() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let noise: Vec<u8> = (0..9_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let list = b"LIST\x0c\0\0\0INFOISFT\0\0\0\0".to_vec();
    for (name, codec) in [("a.wav", "pcm_s16le"), ("a.flac", "flac")] {
        let path = encode(folder.path(), name, &tones(8_000, 1, 16_000), 8_000, 1, &["-c:a", codec]);
        let plain = std::fs::read(&path).expect("readable");
        let id3v1 = [&b"TAG"[..], &[b' '; 125]].concat();
        for (behind, warned) in [(noise.clone(), true), (list.clone(), false), (id3v1, false), (vec![0; 5_000], false)]
        {
            if name == "a.flac" && behind == list {
                continue;
            }
            std::fs::write(&path, [&plain[..], &behind].concat()).expect("written");
            let warnings = analysed(&path).warnings();
            let said = warnings.iter().find(|warning| warning.code.label() == "audio.bytes_ignored");
            assert_eq!(said.is_some(), warned, "{name}: {warnings:?}");
            assert!(said.is_none_or(|said| said.message.contains("9000 bytes")), "{warnings:?}");
        }
    }
}

#[test]
fn packets_that_are_counted_in_spite_of_their_times_are_a_warning() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("a.opus");
    let [plain, with_gap] = plain_and_with_gap(folder.path());
    for (file, warned) in [
        (plain.clone(), false),
        (with_gap, false),
        (with_times(&plain, |_, _, time| time / 3), true),
        (with_times(&plain, |number, _, time| if number == 9 { 0 } else { time }), true),
    ] {
        std::fs::write(&path, file).expect("written");
        let warnings = analysed(&path).warnings();
        let codes: Vec<_> = warnings.iter().map(|warning| warning.code.label()).collect();
        assert_eq!(codes.contains(&"audio.wrong_times"), warned, "{warnings:?}");
    }
}
