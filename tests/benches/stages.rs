//! Decoding, resampling and voice activity detection of ten minutes in usual formats:
//! `cargo bench -p emofleet-tests --bench stages [-- MINUTES]`.
//!
//! Prints how many times faster than real time one core is, in processor time, as the median of three runs, with the share of each
//! stage; and ffmpeg's, which decodes and resamples the same file in turn.

use anyhow::Result;
use domain::channel::tracks;
use domain::{Failure, Role};
use settings::Settings;
use speech::audio::{Preprocess, Sink, SpeechSegment, StageTimes, VoiceDetector};
use speech::runtime::Runtime;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tests::processor_time::{children_time, own_time};
use tests::speech as voices;

const RUNS: usize = 3;
/// Name, and ffmpeg's options for the encoder.
const FORMATS: [(&str, &[&str]); 7] = [
    ("8 kHz mu-law.wav", &["-ar", "8000", "-c:a", "pcm_mulaw"]),
    ("16 kHz.wav", &["-ar", "16000"]),
    ("16 kHz.mp3", &["-ar", "16000", "-b:a", "32k"]),
    ("44.1 kHz stereo.mp3", &["-ar", "44100", "-ac", "2", "-b:a", "128k"]),
    ("44.1 kHz stereo.m4a", &["-ar", "44100", "-ac", "2", "-c:a", "aac", "-b:a", "128k"]),
    ("8 kHz.flac", &["-ar", "8000"]),
    ("48 kHz.opus", &["-ar", "48000", "-c:a", "libopus", "-b:a", "24k"]),
];

/// Takes everything and does nothing with it.
struct Nowhere;

impl Sink for Nowhere {
    fn block(&mut self, _: &[Vec<f32>]) -> Result<(), Failure> {
        Ok(())
    }

    fn segment(&mut self, _: SpeechSegment) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() -> Result<()> {
    let minutes: u32 = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let seconds = f64::from(minutes * 60);
    let settings = Settings::load()?.speech();
    let vad = VoiceDetector::load(&Runtime::load(&settings.runtime)?)?;
    let folder = tempfile::tempdir()?;
    let spoken = folder.path().join("spoken.wav");
    voices::speak(&spoken, 40)?;
    println!("{minutes} minutes; times faster than real time, on one core");
    println!("| format | all | decode | resample | voice activity | ffmpeg: decode and resample |");
    println!("|---|---|---|---|---|---|");
    for (name, options) in FORMATS {
        let file = folder.path().join(name);
        let duration = seconds.to_string();
        let mut arguments = vec!["-v", "error", "-stream_loop", "-1", "-t", &duration, "-i", voices::text(&spoken)?];
        arguments.extend(options);
        arguments.push(voices::text(&file)?);
        voices::run("ffmpeg", &arguments)?;
        let (mut all, mut peers, mut shares) = (Vec::new(), Vec::new(), StageTimes::default());
        for _ in 0..RUNS {
            let before = own_time()?;
            shares = preprocess(&settings, &vad, &file)?;
            all.push(own_time()?.saturating_sub(before));
            let before = children_time()?;
            let decode = [
                "-v",
                "error",
                "-threads",
                "1",
                "-i",
                voices::text(&file)?,
                "-ar",
                "16000",
                "-f",
                "s16le",
                "-y",
                "/dev/null",
            ];
            voices::run("ffmpeg", &decode)?;
            peers.push(children_time()?.saturating_sub(before));
        }
        let speed = |time: Duration| format!("{:.0}", seconds / time.as_secs_f64().max(0.01));
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            speed(median(&mut all)),
            speed(shares.decode),
            speed(shares.resample),
            speed(shares.detect),
            speed(median(&mut peers))
        );
    }
    Ok(())
}

fn preprocess(settings: &speech::Settings, vad: &VoiceDetector, file: &Path) -> Result<StageTimes> {
    let preprocess = Preprocess { audio: &settings.audio, segment: &settings.segment, vad };
    let all: BTreeSet<Role> = Role::ALL.into();
    let layout = |channels: u16| tracks(channels, None, [Role::Agent, Role::Customer], &all);
    Ok(preprocess.run(File::open(file)?, layout, &mut Nowhere)?.times)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
