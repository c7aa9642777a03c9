use super::*;
use std::f64::consts::TAU;

const CHUNKS: usize = 250;

/// The sound of `models/vad/tests/test_vad.py`, by the same formula.
fn formula() -> Vec<[f32; CHUNK]> {
    let mut noise = 1_u32;
    let sample = |n: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let t = n as f64 / 16_000.0;
        let pitch = TAU * (110.0 * t - 3.0 * (4.0 * t).cos());
        let syllable = if (1.1 * t).sin() > -0.3 { (16.0 * t).sin().max(0.0) } else { 0.0 };
        let formants =
            [(550.0 + 250.0 * (9.0 * t).sin(), 60.0), (1_500.0 + 500.0 * (6.3 * t).sin(), 90.0), (2_500.0, 120.0)];
        let harmonic = |number: i32| {
            let near =
                |(centre, width): (f64, f64)| 1.0 / (1.0 + ((110.0 * f64::from(number) - centre) / width).powi(2));
            formants.map(near).iter().sum::<f64>() * (f64::from(number) * pitch).sin()
        };
        let voice = 0.12 * syllable * (1..=20).map(harmonic).sum::<f64>();
        (voice + 0.004 * (f64::from(noise) / 2f64.powi(32) - 0.5)) as f32
    };
    let samples: Vec<f32> = (0..CHUNKS * CHUNK).map(sample).collect();
    samples.as_chunks().0.to_vec()
}

/// What Silero's own graph answers on it, which `test_vad.py` checks.
fn expected() -> Vec<f32> {
    let text = include_str!("../../../../../models/vad/tests/expected.json");
    serde_json::from_str(text).expect("a list of numbers")
}

fn detector() -> VoiceDetector {
    let path = std::env::var_os("EMOFLEET__RUNTIME__ONNXRUNTIME").unwrap_or_default();
    let mut settings = crate::Settings::default();
    settings.runtime.onnxruntime = path.into();
    let runtime = Runtime::load(&settings.runtime).expect("run ./test.sh, which fetches ONNX Runtime");
    VoiceDetector::load(&runtime).expect("the built-in network")
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn probabilities_are_those_of_the_original_network() {
    let (detector, chunks) = (detector(), formula());
    let mut session = detector.acquire().expect("a session");
    for size in [1, 7, 64] {
        let mut state = VadState::new();
        let blocks = chunks.chunks(size).map(|block| session.probabilities(&mut state, block).expect("predicted"));
        let worst = worst(&blocks.flatten().collect::<Vec<f32>>(), &expected());
        assert!(worst < 1e-4, "blocks of {size}: {worst}");
    }
}

#[test]
fn tracks_that_are_predicted_together_do_not_see_each_other() {
    let (detector, chunks) = (detector(), formula());
    let mut session = detector.acquire().expect("a session");
    let backwards: Vec<_> = chunks.iter().rev().copied().collect();
    let alone = session.probabilities(&mut VadState::new(), &backwards).expect("predicted");
    assert!(worst(&alone, &expected()) > 0.1, "not a test: both tracks are alike");
    let (mut first, mut second, mut together) = (VadState::new(), VadState::new(), [Vec::new(), Vec::new()]);
    for (forwards, backwards) in chunks.chunks(60).zip(backwards.chunks(60)) {
        let found = session.of_tracks(&mut [&mut first, &mut second], &[forwards, backwards]).expect("predicted");
        together.iter_mut().zip(found).for_each(|(to, from)| to.extend(from));
    }
    assert!(worst(&together[0], &expected()) < 1e-4, "the first");
    assert!(worst(&together[1], &alone) < 1e-4, "the second");
}
