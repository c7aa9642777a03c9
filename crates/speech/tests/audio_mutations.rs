//! Whatever the bytes are: samples or a failure, never a panic, and soon.

mod recordings;

use domain::FailureCode;
use recordings::{decode, decode_all_tracks, encode, limits, tones};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often each file is damaged.
const ROUNDS: usize = 50;
/// Longest that two seconds' worth of bytes may take, on a busy machine, unoptimised.
const LONGEST: Duration = Duration::from_secs(20);

const FILES: [(&str, usize, &[&str]); 28] = [
    ("s16.wav", 2, &["-c:a", "pcm_s16le"]),
    ("f64.wav", 1, &["-c:a", "pcm_f64le"]),
    ("mulaw.wav", 2, &["-c:a", "pcm_mulaw"]),
    ("ima.wav", 2, &["-c:a", "adpcm_ima_wav"]),
    ("ms.wav", 1, &["-c:a", "adpcm_ms"]),
    ("mp3.wav", 1, &["-c:a", "libmp3lame"]),
    ("a.aiff", 1, &["-c:a", "pcm_s16be"]),
    ("a.caf", 2, &["-c:a", "pcm_s16le"]),
    ("a.flac", 2, &["-c:a", "flac"]),
    ("flac.oga", 1, &["-c:a", "flac"]),
    ("a.mp3", 2, &["-c:a", "libmp3lame"]),
    ("a.m4a", 2, &["-c:a", "aac"]),
    ("alac.m4a", 1, &["-c:a", "alac"]),
    ("frag.mp4", 1, &["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"]),
    ("a.aac", 1, &["-c:a", "aac"]),
    ("a.ogg", 2, &["-c:a", "libvorbis"]),
    ("a.opus", 2, &["-c:a", "libopus"]),
    ("voip.opus", 1, &["-c:a", "libopus", "-application", "voip", "-b:a", "12k"]),
    ("a.webm", 1, &["-c:a", "libopus"]),
    ("a.mka", 2, &["-c:a", "libvorbis"]),
    ("s24.mov", 2, &["-c:a", "pcm_s24be"]),
    ("ima4.mov", 1, &["-c:a", "adpcm_ima_qt"]),
    ("mulaw.caf", 1, &["-c:a", "pcm_mulaw"]),
    ("ms.mka", 1, &["-c:a", "adpcm_ms"]),
    ("ima4.aiff", 1, &["-c:a", "adpcm_ima_qt"]),
    ("tracks.m4a", 1, &["-map", "0:a", "-map", "0:a", "-c:a", "aac"]),
    ("tracks.mka", 2, &["-map", "0:a", "-map", "0:a", "-c:a:0", "flac", "-c:a:1", "libopus"]),
    ("tracks.ogg", 1, &["-map", "0:a", "-map", "0:a", "-c:a", "libvorbis"]),
];

/// A small generator of numbers, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % sides.max(1)
    }
}

/// Damages bytes as disks, networks and attackers do; half of the time near the beginning, where the headers are.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(4) {
        let reach = if dice.roll(2) == 0 { bytes.len().min(600) } else { bytes.len() };
        let at = dice.roll(reach);
        let length = (1 + dice.roll(40)).min(bytes.len() - at);
        match dice.roll(7) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at] = [0, 0xff, 0x7f, 0x80][dice.roll(4)],
            2 => bytes[at..at + length].fill([0, 0xff][dice.roll(2)]),
            3 => bytes[at..at + length].iter_mut().for_each(|byte| *byte = dice.roll(256) as u8),
            4 => drop(bytes.drain(at..at + length)),
            5 => {
                let copy = bytes[at..at + length].to_vec();
                let to = dice.roll(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => bytes.truncate(at.max(bytes.len() / 8)),
        }
        if bytes.is_empty() {
            return;
        }
    }
}

#[test]
fn a_thousand_damaged_files_end_in_samples_or_a_failure() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut limits = limits();
    limits.max_seconds = 60.0;
    let (mut dice, mut outcomes) = (Dice(0x5eed_0000_2026), BTreeMap::new());
    for (name, channels, arguments) in FILES {
        let path = encode(folder.path(), name, &tones(16_000, channels, 12_000), 16_000, channels, arguments);
        let whole = std::fs::read(&path).expect("readable");
        decode(&path, &limits).unwrap_or_else(|failure| panic!("{name} before any damage: {failure}"));
        let all = decode_all_tracks(&path, &limits).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(all.len(), if name.starts_with("tracks") { 2 * channels } else { channels }, "{name}");
        for round in 0..ROUNDS {
            let mut bytes = whole.clone();
            damage(&mut bytes, &mut dice);
            limits.accept_truncated = round % 2 == 0;
            std::fs::write(&path, &bytes).expect("written");
            let begun = Instant::now();
            let (outcome, all) = (decode(&path, &limits), decode_all_tracks(&path, &limits));
            assert!(begun.elapsed() < LONGEST, "{name}, round {round}: {:?}", begun.elapsed());
            if let Ok((_, samples)) = &outcome {
                assert!(samples.iter().flatten().all(|s| (-1.0..=1.0).contains(s)), "{name}, round {round}");
            }
            if let Ok(samples) = &all {
                assert!(samples.iter().all(|channel| channel.len() == samples[0].len()), "{name}, round {round}");
                assert!(samples.iter().flatten().all(|s| s.is_finite()), "{name}, round {round}");
            }
            for outcome in [outcome.map(|_| ()), all.map(|_| ())] {
                let code = outcome.map_or_else(|failure| failure.code.code(), |()| "samples");
                *outcomes.entry(code).or_insert(0) += 1;
            }
        }
    }
    println!("{outcomes:?}");
    // The local disk works: a damaged file is never reported as a defect of the worker.
    assert!(!outcomes.contains_key(FailureCode::WorkerInternal.code()), "{outcomes:?}");
    assert!(outcomes.get("samples").is_some_and(|count| *count > ROUNDS), "{outcomes:?}");
}
