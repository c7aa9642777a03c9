//! From a file to segments, with the real voice detector, on speech by espeak-ng.

mod recordings;

use domain::channel::{ChannelLayout, Track, tracks};
use domain::{Failure, FailureCode, Role, WarningCode};
use recordings::{encode, limits};
use settings::Settings;
use speech::audio::{Preprocess, Preprocessed, Sink, SpeechSegment, VoiceDetector};
use speech::framing::{SAMPLE_RATE, seconds};
use speech::runtime::Runtime;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Hz of espeak-ng.
const SPOKEN: u32 = 22_050;
const SENTENCE: &str = "I have been waiting for three weeks, and nobody has called me back.";
const QUESTION: &str = "Could you tell me the number of your order, please?";

fn detector() -> VoiceDetector {
    let settings = Settings::load().expect("the settings are valid");
    let runtime = Runtime::load(&settings.runtime).unwrap_or_else(|error| panic!("{error}"));
    VoiceDetector::load(&runtime).expect("Silero's model loads")
}

/// Mono speech at [`SPOKEN`] Hz.
fn say(text: &str) -> Vec<f32> {
    let said = Command::new("espeak-ng")
        .args(["--stdout", text])
        .output()
        .expect("these tests need espeak-ng, which is not installed: apt-get install espeak-ng");
    let data = said.stdout.windows(4).position(|bytes| bytes == b"data").expect("espeak-ng writes a WAV") + 8;
    said.stdout[data..].as_chunks().0.iter().map(|b| f32::from(i16::from_le_bytes(*b)) / 32_768.0).collect()
}

fn silence(seconds: f64) -> Vec<f32> {
    vec![0.0; (seconds * f64::from(SPOKEN)) as usize]
}

/// Stores everything.
#[derive(Default)]
struct Keep {
    blocks: Vec<Vec<f32>>,
    longest_block: usize,
    segments: Vec<SpeechSegment>,
    /// Fail at the segment of this number.
    cancel_at: Option<usize>,
}

impl Sink for Keep {
    fn block(&mut self, scored: &[Vec<f32>]) -> Result<(), Failure> {
        if scored.is_empty() {
            return Ok(());
        }
        self.blocks.resize(scored.len(), Vec::new());
        self.longest_block = self.longest_block.max(scored[0].len());
        for (kept, samples) in self.blocks.iter_mut().zip(scored) {
            assert_eq!(samples.len(), scored[0].len());
            kept.extend_from_slice(samples);
        }
        Ok(())
    }

    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure> {
        if self.cancel_at == Some(self.segments.len()) {
            return Err(Failure::new(FailureCode::JobCancelled, "enough"));
        }
        self.segments.push(segment);
        Ok(())
    }
}

/// Preprocesses a file with the job's layout and the operator's default policy.
fn run(path: &Path, layout: Option<&ChannelLayout>, keep: &mut Keep) -> Result<Preprocessed, Failure> {
    run_with("", path, layout, keep)
}

fn run_with(toml: &str, path: &Path, layout: Option<&ChannelLayout>, keep: &mut Keep) -> Result<Preprocessed, Failure> {
    let settings = Settings::from_toml(toml).expect("the settings are valid");
    let scored = BTreeSet::from([Role::Customer, Role::Speaker, Role::Mixed]);
    let detector = detector();
    let preprocess = Preprocess { audio: &limits(), segment: &settings.segment, vad: &detector };
    let layout =
        |channels| -> Result<Vec<Track>, Failure> { tracks(channels, layout, [Role::Agent, Role::Customer], &scored) };
    preprocess.run(File::open(path).expect("the recording is there"), layout, keep)
}

/// A call: the agent asks on the left, then the customer complains on the right. Gives the
/// seconds at which the customer begins and ends.
fn call(folder: &Path, name: &str, arguments: &[&str]) -> (std::path::PathBuf, f64, f64) {
    let (question, complaint) = (say(QUESTION), say(SENTENCE));
    let left =
        [silence(0.5), question, silence(1.5), silence(complaint.len() as f64 / f64::from(SPOKEN) + 1.0)].concat();
    let begins = left.len() - silence(1.0).len() - complaint.len();
    let mut right = vec![0.0; begins];
    right.extend(&complaint);
    right.resize(left.len(), 0.0);
    let both: Vec<f32> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
    let path = encode(folder, name, &both, SPOKEN, 2, arguments);
    let seconds = |n: usize| n as f64 / f64::from(SPOKEN);
    (path, seconds(begins), seconds(begins + complaint.len()))
}

#[test]
fn only_the_customers_channel_is_segmented() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, arguments) in [
        ("call.wav", &["-ar", "8000", "-c:a", "pcm_mulaw"][..]),
        ("call.opus", &["-c:a", "libopus", "-b:a", "128k"][..]),
        ("call.m4a", &["-c:a", "aac"][..]),
        ("call.mp3", &["-c:a", "libmp3lame", "-joint_stereo", "0"][..]),
        ("call.flac", &["-c:a", "flac"][..]),
    ] {
        let (path, begins, ends) = call(folder.path(), name, arguments);
        let mut keep = Keep::default();
        let found = run(&path, None, &mut keep).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(keep.blocks.len(), 1, "{name}: the agent's channel goes no further");
        let (first, last) = (keep.segments.first().expect("speech"), keep.segments.last().expect("speech"));
        assert!(keep.segments.iter().all(|segment| segment.track == 1));
        assert!(
            (seconds(first.start_sample) - begins).abs() < 0.4,
            "{name}: begins at {begins}, {first:?}",
            first = first.start_sample
        );
        assert!((seconds(last.end_sample) - ends).abs() < 0.6, "{name}: ends at {ends}, {}", last.end_sample);
        let length = keep.blocks[0].len() as f64 / f64::from(SAMPLE_RATE);
        assert!((length - found.facts.duration_s).abs() < 1e-3, "{name}: {length} s of {}", found.facts.duration_s);
    }
}

#[test]
fn a_segment_holds_the_recordings_samples() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let talk =
        [say(SENTENCE), silence(2.0), say(QUESTION), silence(0.4), say(SENTENCE), silence(0.7), say(QUESTION)].concat();
    let path = encode(folder.path(), "talk.flac", &talk, SPOKEN, 1, &["-c:a", "flac"]);
    let mut keep = Keep::default();
    let found = run(&path, None, &mut keep).expect("speech");
    assert!(keep.segments.len() >= 3, "{}", keep.segments.len());
    let mut end = 0;
    for (n, segment) in keep.segments.iter().enumerate() {
        assert_eq!(segment.index as usize, n);
        assert!(segment.start_sample >= end && segment.samples.len() <= 30 * SAMPLE_RATE as usize);
        end = segment.end_sample;
        assert_eq!(segment.samples, keep.blocks[0][segment.start_sample as usize..end as usize]);
    }
    assert_eq!(found.facts.bad_packets, 0);
    assert!(keep.longest_block <= 2 * SAMPLE_RATE as usize, "blocks are as small as packets");
}

#[test]
fn a_mix_is_the_average_of_all_channels_and_only_made_when_asked_for() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (path, ..) = call(folder.path(), "call.wav", &["-ar", "16000", "-c:a", "pcm_f32le"]);
    let (mut mixed, mut apart) = (Keep::default(), Keep::default());
    let found = run(&path, Some(&ChannelLayout::Mix), &mut mixed).expect("speech");
    assert_eq!(found.tracks, [Track { channel: None, role: Role::Mixed, scored: true }]);
    let both = [(0, Role::Speaker), (1, Role::Speaker)].into_iter().collect();
    run(&path, Some(&ChannelLayout::Roles(both)), &mut apart).expect("speech");
    assert_eq!(apart.blocks.len(), 2);
    let average = apart.blocks[0].iter().zip(&apart.blocks[1]).map(|(l, r)| f32::midpoint(*l, *r));
    assert!(mixed.blocks[0].iter().zip(average).all(|(a, b)| (a - b).abs() < 1e-6));
    let of = |track| apart.segments.iter().filter(|segment| segment.track == track).count();
    assert!(of(0) > 0 && of(1) > 0, "both speakers have segments");
}

#[test]
fn a_recording_without_a_scored_role_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (path, ..) = call(folder.path(), "call.wav", &["-c:a", "pcm_s16le"]);
    let agents = [(0, Role::Agent), (1, Role::Agent)].into_iter().collect();
    let mut keep = Keep::default();
    let failure = run(&path, Some(&ChannelLayout::Roles(agents)), &mut keep).expect_err("no scored role");
    assert_eq!(failure.code, FailureCode::ChannelsNoneScored);
    assert!(keep.blocks.is_empty());
}

#[test]
fn a_short_utterance_is_one_segment_and_silence_none() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let answer = [silence(0.3), say("No, never again!"), silence(0.3)].concat();
    let mut keep = Keep::default();
    run(&encode(folder.path(), "answer.ogg", &answer, SPOKEN, 1, &["-c:a", "libvorbis"]), None, &mut keep)
        .expect("speech");
    assert_eq!(keep.segments.len(), 1);
    let mut keep = Keep::default();
    let quiet = encode(folder.path(), "quiet.wav", &silence(5.0), SPOKEN, 1, &["-c:a", "pcm_s16le"]);
    let found = run(&quiet, None, &mut keep).expect("silence is a recording");
    assert!(keep.segments.is_empty() && found.tracks.len() == 1);
    assert_eq!(keep.blocks[0].len(), 80_000);
}

const SILERO_ALONE: &str = "segment.scream_dbfs = 0.0";

/// Seconds of speech that are found in samples.
fn speech(toml: &str, samples: &[f32]) -> f64 {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = encode(folder.path(), "sound.wav", samples, SPOKEN, 1, &["-c:a", "pcm_s16le"]);
    let mut keep = Keep::default();
    run_with(toml, &path, None, &mut keep).unwrap_or_else(|failure| panic!("{failure}"));
    keep.segments.iter().map(|segment| seconds(segment.end_sample - segment.start_sample)).sum()
}

#[test]
fn a_voice_as_high_as_a_scream_is_speech_and_loud_sound_without_a_voice_is_not() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/complaint_en.wav");
    let said = recordings::ffmpeg(&["-i", sample, "-ar", &SPOKEN.to_string(), "-f", "f32le", "-"], &[]);
    // Every other sample of a woman's voice: an octave higher, and twice as fast.
    let high: Vec<f32> = said.as_chunks().0.iter().step_by(2).map(|b| f32::from_le_bytes(*b)).collect();
    let length = high.len() as f64 / f64::from(SPOKEN);
    let once = speech(SILERO_ALONE, &high);
    let twice = speech("", &high);
    assert!(once < length * 0.3, "Silero alone finds {once} of {length} s: this test shows nothing");
    assert!(twice > length * 0.6, "{twice} of {length} s are found");
    let mut state = 1u32;
    let noise = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    let noise: Vec<f32> = (0..3 * SPOKEN).map(noise).collect();
    let tones = recordings::tones(SPOKEN, 1, 3 * SPOKEN as usize);
    for (name, sound) in [("noise", noise), ("tones", tones)] {
        let (once, twice) = (speech(SILERO_ALONE, &sound), speech("", &sound));
        assert!(twice - once < 0.1, "{name}: {twice} s are classified as speech, by Silero alone {once}");
    }
}

#[test]
fn audio_shorter_than_one_window_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for count in [1, 200] {
        let path = encode(folder.path(), "click.wav", &vec![0.5; count], 8_000, 1, &["-c:a", "pcm_s16le"]);
        let outcome = run(&path, None, &mut Keep::default()).map(|found| found.facts);
        match count {
            1 => assert_eq!(outcome.expect_err("too short").code, FailureCode::AudioTooShort),
            _ => assert_eq!(outcome.expect("25 ms are enough").sample_rate, 8_000),
        }
    }
}

#[test]
fn the_sinks_error_ends_the_run() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let talk = [say(SENTENCE), silence(2.0), say(SENTENCE), silence(2.0), say(SENTENCE)].concat();
    let path = encode(folder.path(), "talk.wav", &talk, SPOKEN, 1, &["-c:a", "pcm_s16le"]);
    let mut keep = Keep { cancel_at: Some(1), ..Keep::default() };
    let failure = run(&path, None, &mut keep).expect_err("cancelled");
    assert_eq!(failure.code, FailureCode::JobCancelled);
    let all = talk.len() * SAMPLE_RATE as usize / SPOKEN as usize;
    assert!(keep.blocks[0].len() < all * 3 / 4, "what comes after the error is not read");
}

/// Counts, and stores nothing.
#[derive(Default)]
struct Count {
    samples: u64,
    segments: u64,
    longest: usize,
}

impl Sink for Count {
    fn block(&mut self, scored: &[Vec<f32>]) -> Result<(), Failure> {
        self.samples += scored[0].len() as u64;
        Ok(())
    }

    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure> {
        self.segments += 1;
        self.longest = self.longest.max(segment.samples.len());
        Ok(())
    }
}

/// Peak memory of this process, bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") * 1024
}

#[test]
fn memory_does_not_grow_with_the_call() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (short, ..) = call(folder.path(), "short.wav", &["-ar", "8000", "-c:a", "pcm_mulaw"]);
    let minutes = 8;
    let bytes = std::fs::read(&short).expect("readable");
    let data = bytes.windows(4).position(|bytes| bytes == b"data").expect("a data chunk");
    let mut long = bytes[..data + 4].to_vec();
    long.extend((minutes * 60 * 16_000u32).to_le_bytes());
    long.extend(bytes[data + 8..bytes.len() & !1].iter().cycle().take(minutes as usize * 60 * 16_000));
    let path = folder.path().join("long.wav");
    std::fs::write(&path, long).expect("written");
    let settings = Settings::from_toml("").expect("the defaults are valid");
    let detector = detector();
    let preprocess = Preprocess { audio: &limits(), segment: &settings.segment, vad: &detector };
    let both =
        |_| Ok([0, 1].map(|channel| Track { channel: Some(channel), role: Role::Speaker, scored: true }).to_vec());
    let mut count = Count::default();
    let before = peak();
    let found = preprocess.run(File::open(&path).expect("written"), both, &mut count).expect("a call");
    let grown = peak() - before;
    assert_eq!(count.samples, u64::from(minutes) * 60 * u64::from(SAMPLE_RATE));
    assert!(count.segments > 40 && count.longest <= 30 * SAMPLE_RATE as usize);
    assert_eq!(found.tracks.len(), 2);
    // Held whole, two channels of 8 minutes would take 61 MB. Other tests may run beside this one.
    assert!(grown < 30_000_000, "{grown} bytes more than before");
}

/// Mono samples with this level of the whole, dB of full scale, in white noise of another.
fn at_level(samples: &[f32], dbfs: f32, noise_dbfs: f32) -> Vec<f32> {
    let rms = (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt();
    let amplitude = |dbfs: f32| 10f32.powf(dbfs / 20.0);
    let mut state = 1_u32;
    let noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Uniform in [-1, 1] has a root mean square of 1/sqrt(3).
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * 3f32.sqrt() * amplitude(noise_dbfs)
    };
    samples.iter().zip(std::iter::repeat_with(noise)).map(|(s, noise)| s / rms * amplitude(dbfs) + noise).collect()
}

#[test]
fn quiet_speech_is_found_as_loud_speech_is_and_its_level_is_told() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let spoken = [silence(1.0), say(SENTENCE), silence(2.0), say(QUESTION), silence(1.0)].concat();
    let found = |toml: &str, level: f32| {
        let path = encode(folder.path(), "quiet.wav", &at_level(&spoken, level, level - 30.0), SPOKEN, 1, &[]);
        let mut keep = Keep::default();
        let done = run_with(toml, &path, None, &mut keep).expect("preprocessed");
        let speech: usize = keep.segments.iter().map(|segment| segment.samples.len()).sum();
        let numbers: Vec<u32> = keep.segments.iter().map(|segment| segment.index).collect();
        assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>(), "each segment once");
        assert_eq!(keep.blocks[0].len(), (spoken.len() as f64 / f64::from(SPOKEN) * 16_000.0).round() as usize);
        println!("{toml:30} {level} dB: {:.2} s, level {:?}", seconds(speech as u64), done.levels[0]);
        (seconds(speech as u64), done)
    };
    let (usual, loud) = found("", -20.0);
    assert!(usual > 4.0 && loud.warnings().is_empty(), "{usual} s");
    for level in [-40.0, -50.0, -60.0, -70.0] {
        found("[segment]\nquiet_dbfs = -90.0", level);
        let (quiet, done) = found("", level);
        assert!((quiet - usual).abs() < 0.15 * usual, "{level} dB: {quiet} s instead of {usual} s");
        let measured = done.levels[0].expect("sound");
        assert!((measured - level).abs() < 8.0, "{level} dB: {measured}");
        let warned = done.warnings().iter().any(|warning| warning.code == WarningCode::AudioTooQuiet);
        assert_eq!(warned, measured < -40.0, "{level} dB");
    }
}

#[test]
fn quiet_noise_and_silence_stay_without_speech() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, level) in [("noise.wav", -45.0), ("hiss.wav", -65.0), ("nothing.wav", f32::NEG_INFINITY)] {
        let path = encode(folder.path(), name, &at_level(&vec![1e-9; 66_150], -140.0, level), SPOKEN, 1, &[]);
        let mut keep = Keep::default();
        let done = run(&path, None, &mut keep).expect("preprocessed");
        assert!(keep.segments.is_empty() && done.warnings().is_empty(), "{name}: {:?}", done.warnings());
        assert_eq!(done.levels[0].is_some(), level.is_finite(), "{name}");
    }
}
