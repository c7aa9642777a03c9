//! What the fuzz targets do with bytes. `tests/tests/corpus.rs` does the same without a fuzzer, with
//! every file of the corpus and mutations of it.
#![allow(dead_code, reason = "each target uses its own part")]

use domain::channel::Track;
use domain::{Failure, Job, Role};
use speech::audio::{Decoder, Recording};
use speech::framing::seconds;
use speech::settings::Audio;
use std::fs::File;
use std::io::Write;
use std::sync::LazyLock;

/// Seconds of audio after which a file is too long: so few that every input ends soon.
pub const MAX_SECONDS: f64 = 60.0;
/// Most channels.
const MAX_CHANNELS: u16 = 8;

/// Decodes the first audio track of a file, then decodes, resamples and mixes all of them as a worker does; returns the
/// file's seconds of audio.
///
/// # Errors
/// The failure that the recording would have.
///
/// # Panics
/// When a guarantee for the later stages is broken: samples in [-1, 1], as many in each channel, never
/// more than the limits say, and a failure that is the recording's own.
pub fn decode(bytes: &[u8]) -> Result<f64, Failure> {
    static LIMITS: LazyLock<Audio> = LazyLock::new(limits);
    let file = || {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("room for it");
        file
    };
    let (first, all) = (decode_first_track(file(), &LIMITS), resample_all_tracks(file(), &LIMITS));
    for failure in [first.as_ref().err(), all.as_ref().err()].into_iter().flatten() {
        assert!(failure.code.code().starts_with("audio."), "not the recording's failure: {failure}");
        assert!(failure.message.contains(' '), "a sentence says more than `{failure}`");
    }
    all
}

fn decode_first_track(file: File, limits: &Audio) -> Result<(), Failure> {
    let mut decoder = Decoder::open(file, limits)?;
    let facts = decoder.facts();
    if facts.sample_rate == 0 {
        return Ok(());
    }
    assert!((1..=MAX_CHANNELS).contains(&facts.channels), "{} channels", facts.channels);
    let mut total = 0;
    while let Some(block) = decoder.next()? {
        assert_eq!(block.len(), usize::from(facts.channels), "channels come and go");
        assert!(block.iter().flatten().all(|s| (-1.0..=1.0).contains(s)), "beyond full scale");
        total += block[0].len();
    }
    let seconds = total as f64 / f64::from(facts.sample_rate);
    assert!(seconds < MAX_SECONDS + 1.0, "{seconds} s in spite of the limit");
    Ok(())
}

/// Each channel by itself, and the mix of all.
fn resample_all_tracks(file: File, limits: &Audio) -> Result<f64, Failure> {
    let mut recording = Recording::open(file, limits)?;
    if !recording.has_samples() {
        return Ok(0.0);
    }
    assert!((1..=MAX_CHANNELS).contains(&recording.channels()), "{} channels", recording.channels());
    let channel = |channel| Track { channel: Some(channel), role: Role::Speaker, scored: true };
    let mut tracks: Vec<Track> = (0..recording.channels()).map(channel).collect();
    tracks.push(Track { channel: None, role: Role::Mixed, scored: true });
    let mut at_16k = vec![Vec::new(); tracks.len()];
    let mut total = 0;
    let mut samples = recording.select(&tracks.iter().collect::<Vec<_>>())?;
    while samples.next(&mut at_16k)? {
        let count = at_16k[0].len();
        assert!(at_16k.iter().all(|samples| samples.len() == count), "channels of unequal length");
        assert!(at_16k.iter().flatten().all(|s| s.is_finite()), "not a number");
        total += count;
    }
    let seconds = seconds(total as u64);
    assert!(seconds < MAX_SECONDS + 1.0, "{seconds} s in spite of the limit");
    let facts = recording.facts();
    assert_eq!(facts.channels, recording.channels(), "the report counts other channels");
    assert!(facts.duration_s < MAX_SECONDS + 1.0, "{} s in spite of the limit", facts.duration_s);
    Ok(seconds)
}

fn limits() -> Audio {
    let mut limits = speech::Settings::default().audio;
    limits.max_seconds = MAX_SECONDS;
    limits.max_channels = MAX_CHANNELS;
    limits
}

/// Reads a message as a worker does.
///
/// # Errors
/// The failure with which it would be dead-lettered.
///
/// # Panics
/// When what was accepted does not survive being written and read again, or a refusal has no code of a job.
pub fn job_message(body: &[u8]) -> Result<Job, Failure> {
    let read = Job::from_json(body);
    match &read {
        Ok(job) => assert_eq!(Job::from_json(&job.to_json()).as_ref(), Ok(job), "a job survives the wire"),
        Err(failure) => assert!(failure.code.code().starts_with("job."), "{failure}"),
    }
    read
}
