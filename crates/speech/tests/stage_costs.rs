//! A guard against stages of preprocessing that become several times as slow: each is compared with a reference computation of the
//! same process, in processor time, by the least of some rounds in turns. A busy machine slows both down.
//!
//! The ratios were measured in the profile of tests, at a load of 1 and of 8 for each core: they differed by less than a tenth. A stage
//! that exceeds its limit does something several times, or another thing than it did: `cargo bench -p emofleet-tests --bench
//! stages` says how fast each is.

mod recordings;

use domain::channel::tracks;
use domain::{Failure, Role};
use realfft::RealFftPlanner;
use settings::Settings;
use speech::artifacts::{AudioFile, AudioFormat};
use speech::audio::{Decoder, Preprocess, Resampler16k, Sink, SpeechSegment, VoiceDetector};
use speech::runtime::Runtime;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

const ROUNDS: usize = 3;
/// Samples of a minute at 16 kHz.
const MINUTE: usize = 60 * 16_000;
/// Samples of one block, as decoders deliver them.
const BLOCK: usize = 4096;
/// Samples that are resampled, at each rate.
const RESAMPLED: usize = 288_000;
/// Samples of a transform of its reference, and how many transforms there and back.
const TRANSFORM: usize = 4096;
const TRANSFORMS: usize = 300;
/// Rates, and the limit of each, in times the transforms: half more than was measured. Both sides are the same library, compiled alike. A
/// chunk of a large prime length, which takes ten times as long in an optimised build, takes twice as long in that of tests.
const RATES: [(u32, f64); 8] = [
    (8000, 1.4),
    (11_025, 1.5),
    (22_050, 1.15),
    (24_000, 0.82),
    (32_000, 0.6),
    (44_100, 0.95),
    (48_000, 0.64),
    (96_000, 0.56),
];
/// Limits of voice activity detection, in times the powers, with wide vectors and without: with AVX-512, 1.99 was measured, and 4.12 with a
/// run of the network for each 32 ms. What other processors do has not been measured.
const VOICE_ACTIVITY: (f64, f64) = (2.5, 4.3);
/// Limits of decoding and encoding, in times the powers: three times what was measured.
const DECODE: f64 = 1.1;
const ENCODE: f64 = 7.4;
/// Powers of the reference for libraries that are optimised in every profile: the C library is as well.
const POWERS: u32 = 4_000_000;

fn voice_activity() -> f64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return VOICE_ACTIVITY.0;
    }
    VOICE_ACTIVITY.1
}

/// Something to be measured, and the least time that it took.
struct Stage<'a> {
    name: String,
    /// Most of it, in times the reference.
    limit: f64,
    run: Box<dyn FnMut() + 'a>,
    least: Duration,
}

impl<'a> Stage<'a> {
    fn new(name: impl Into<String>, limit: f64, run: impl FnMut() + 'a) -> Self {
        Self { name: name.into(), limit, run: Box::new(run), least: Duration::MAX }
    }

    fn round(&mut self) {
        let begun = recordings::processor_time();
        (self.run)();
        self.least = self.least.min(recordings::processor_time().saturating_sub(begun));
    }
}

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

/// Vowel-like sound with pauses, and a little noise: samples in [-1, 1].
fn sound(samples: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32
    };
    let voice = |at: usize| {
        let t = at as f32 / 16_000.0;
        let loud = (t * 2.5).sin().max(0.0);
        (1..=8).map(|n| (t * 140.0 * std::f32::consts::TAU * n as f32).sin() / n as f32).sum::<f32>() * 0.15 * loud
    };
    (0..samples).map(|at| voice(at) + noise() * 0.01).collect()
}

fn copy(folder: &Path, format: AudioFormat, sound: &[f32]) {
    let mut file = AudioFile::create(folder, format);
    for block in sound.chunks(BLOCK) {
        file.write(&[block.to_vec()]).expect("written");
    }
    file.finish().expect("finished").expect("a file");
}

fn resample(rate: u32, sound: &[f32]) {
    let (mut resampler, mut out) = (Resampler16k::new(rate, 1).expect("a rate"), [Vec::new()]);
    for block in sound.chunks(BLOCK) {
        resampler.push(&[block.to_vec()], &mut out).expect("resampled");
        out[0].clear();
    }
    resampler.finish(&mut out).expect("resampled");
}

fn decode(path: &Path) {
    let file = File::open(path).expect("there");
    let mut decoder = Decoder::open(file, &recordings::limits()).expect("a header");
    let mut samples = 0;
    while let Some(block) = decoder.next().expect("decoded") {
        samples += block[0].len();
    }
    assert_eq!(samples, MINUTE);
}

#[test]
fn no_stage_costs_several_times_what_it_did() {
    if !cfg!(debug_assertions) {
        return println!("skipped: the limits are those of the profile of tests");
    }
    let settings = Settings::load().expect("the settings are valid").speech();
    let runtime = Runtime::load(&settings.runtime).unwrap_or_else(|error| panic!("{error}"));
    let detector = VoiceDetector::load(&runtime).expect("Silero's model loads");
    let folder = tempfile::tempdir().expect("temporary folder");
    let minute = sound(MINUTE);
    for &format in AudioFormat::ALL {
        copy(folder.path(), format, &minute);
    }
    let path = |format: AudioFormat| folder.path().join(format.file_name());

    // Rubato's transforms are compiled with the crate that calls them, as these are.
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, back) = (planner.plan_fft_forward(TRANSFORM), planner.plan_fft_inverse(TRANSFORM));
    let mut transforms = Stage::new("transforms", 1.0, || {
        let (mut input, mut output) = (vec![0.0; TRANSFORM], forward.make_output_vec());
        for _ in 0..TRANSFORMS {
            input.copy_from_slice(&minute[..TRANSFORM]);
            forward.process(&mut input, &mut output).expect("fits");
            back.process(&mut output, &mut input).expect("fits");
        }
        assert!(input.iter().all(|sample| sample.is_finite()));
    });
    let mut powers = Stage::new("powers", 1.0, || {
        let sum: f64 = (0..POWERS).map(|n| f64::from(n).powf(std::hint::black_box(0.7))).sum();
        assert!(sum.is_finite());
    });
    let detect = || {
        let preprocess = Preprocess { audio: &settings.audio, segment: &settings.segment, vad: &detector };
        let all: BTreeSet<Role> = Role::ALL.into();
        let layout = |channels: u16| tracks(channels, None, [Role::Agent, Role::Customer], &all);
        let file = File::open(path(AudioFormat::Wav)).expect("there");
        preprocess.run(file, layout, &mut Nowhere).expect("preprocessed");
    };
    let mut libraries = [
        Stage::new("decode a minute of FLAC", DECODE, || decode(&path(AudioFormat::Flac))),
        Stage::new("voice activity of a minute", voice_activity(), detect),
        Stage::new("write a minute as FLAC", ENCODE, || copy(folder.path(), AudioFormat::Flac, &minute)),
    ];
    let sound = &minute[..RESAMPLED];
    let mut rates =
        RATES.map(|(rate, limit)| Stage::new(format!("resample from {rate} Hz"), limit, move || resample(rate, sound)));
    for _ in 0..ROUNDS {
        powers.round();
        libraries.iter_mut().for_each(Stage::round);
        transforms.round();
        rates.iter_mut().for_each(Stage::round);
    }
    let (mut report, mut exceeded) = (String::new(), 0);
    for reference in [&powers, &transforms] {
        assert!(
            reference.least > Duration::from_millis(10),
            "{}: {:?} can't be measured",
            reference.name,
            reference.least
        );
    }
    for (reference, stages) in [(&powers, libraries.as_slice()), (&transforms, rates.as_slice())] {
        for stage in stages {
            let ratio = stage.least.as_secs_f64() / reference.least.as_secs_f64();
            exceeded += usize::from(ratio > stage.limit);
            let _ = writeln!(report, "{ratio:6.2} {}, at most {}: {}", reference.name, stage.limit, stage.name);
        }
        let _ = writeln!(report, "with {:?} of {}", reference.least, reference.name);
    }
    println!("{report}");
    assert_eq!(exceeded, 0, "slower than it was, whatever the machine:\n{report}");
}
