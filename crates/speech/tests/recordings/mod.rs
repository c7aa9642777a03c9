//! Recordings for tests, made and measured with ffmpeg. Without ffmpeg the tests fail.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod ebml;
pub(crate) mod mp4;

use domain::channel::Track;
use domain::report::AudioFacts;
use domain::{Failure, Role};
use speech::audio::{Decoder, Recording};
use speech::settings::Audio;
use std::f64::consts::TAU;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Processor time of this thread so far: the same on a busy machine.
#[expect(unsafe_code, reason = "a call of the C library that has no safe wrapper")]
pub(crate) fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `time` alone.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The default limits.
pub(crate) fn limits() -> Audio {
    speech::Settings::default().audio
}

/// `count` samples per channel, interleaved: tones below 3.4 kHz, others in each channel, with a
/// beat, so that a shift, a swap or a gap shows.
pub(crate) fn tones(rate: u32, channels: usize, count: usize) -> Vec<f32> {
    let sample = |n: usize, channel: usize| {
        let t = n as f64 / f64::from(rate);
        let base = 200.0 + 130.0 * channel as f64;
        let beat = 0.6 + 0.4 * (TAU * (1.3 + 0.2 * channel as f64) * t).sin();
        let sum = (TAU * base * t).sin() + 0.7 * (TAU * (base * 2.37) * t).sin() + 0.3 * (TAU * 1_911.0 * t).sin();
        (0.2 * beat * sum) as f32
    };
    (0..count).flat_map(|n| (0..channels).map(move |channel| sample(n, channel))).collect()
}

/// Runs ffmpeg with bytes on its input; gives its output.
pub(crate) fn ffmpeg(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("these tests compare with ffmpeg, which is not installed: apt-get install ffmpeg");
    let mut stdin = child.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            use std::io::Write;
            // ffmpeg may have enough before the end.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().expect("ffmpeg ran")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg {arguments:?}: {errors}");
    output.stdout
}

/// Encodes interleaved samples into `folder/name`.
pub(crate) fn encode(
    folder: &Path,
    name: &str,
    samples: &[f32],
    rate: u32,
    channels: usize,
    arguments: &[&str],
) -> PathBuf {
    let path = folder.join(name);
    let (rate, channels) = (rate.to_string(), channels.to_string());
    let mut all = vec!["-f", "f32le", "-ar", &rate, "-ac", &channels, "-i", "pipe:0"];
    all.extend(arguments);
    let target = path.to_string_lossy().into_owned();
    all.push(&target);
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    ffmpeg(&all, &bytes);
    path
}

/// What ffmpeg decodes of the first track of sound: interleaved samples.
pub(crate) fn reference(path: &Path) -> Vec<f32> {
    let path = path.to_string_lossy();
    let probed = Command::new("ffprobe").args(["-v", "error", "-show_entries", "stream=codec_name", &path]).output();
    let opus = String::from_utf8_lossy(&probed.expect("ffprobe comes with ffmpeg").stdout).contains("opus");
    // ffmpeg's own decoder of Opus resamples speech with another filter than the standard's.
    let decoder: &[&str] = if opus { &["-c:a", "libopus"] } else { &[] };
    let bytes = ffmpeg(&[decoder, &["-i", &path, "-map", "0:a:0", "-f", "f32le", "pipe:1"]].concat(), b"");
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// What the worker decodes of the first audio track: facts, and samples per channel.
pub(crate) fn decode(path: &Path, limits: &Audio) -> Result<(AudioFacts, Vec<Vec<f32>>), Failure> {
    let file = File::open(path).expect("the recording is there");
    let mut decoder = Decoder::open(file, limits)?;
    let mut all = vec![Vec::new(); usize::from(decoder.facts().channels)];
    while let Some(block) = decoder.next()? {
        all.iter_mut().zip(block).for_each(|(to, from)| to.extend_from_slice(from));
    }
    Ok((decoder.facts(), all))
}

/// The channels of all audio tracks, at 16 kHz.
pub(crate) fn decode_all_tracks(path: &Path, limits: &Audio) -> Result<Vec<Vec<f32>>, Failure> {
    let mut recording = Recording::open(File::open(path).expect("the recording is there"), limits)?;
    let channel = |channel| Track { channel: Some(channel), role: Role::Speaker, scored: true };
    let tracks: Vec<Track> = (0..recording.channels()).map(channel).collect();
    let (mut block, mut all) = (vec![Vec::new(); tracks.len()], vec![Vec::new(); tracks.len()]);
    let mut samples = recording.select(&tracks.iter().collect::<Vec<_>>())?;
    while samples.next(&mut block)? {
        all.iter_mut().zip(&block).for_each(|(to, from)| to.extend_from_slice(from));
    }
    Ok(all)
}

/// Level of `expected` over its difference from `found`, dB.
pub(crate) fn agreement(expected: &[f32], found: &[f32]) -> f64 {
    let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|s| s * s).sum::<f64>() + 1e-12;
    let signal = power(&mut expected.iter().map(|s| f64::from(*s)));
    let difference = power(&mut expected.iter().zip(found).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    10.0 * (signal / difference).log10()
}

/// One channel of interleaved samples.
pub(crate) fn channel(interleaved: &[f32], channels: usize, number: usize) -> Vec<f32> {
    interleaved.iter().skip(number).step_by(channels).copied().collect()
}
