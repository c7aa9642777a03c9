//! The default model fulfils the model contract.

use domain::Scores;
use settings::Settings;
use speech::framing::{MIN_SAMPLES, SAMPLE_RATE, frame_count};
use speech::model::Session;
use speech::runtime::Runtime;
use std::path::{Path, PathBuf};

fn settings() -> Settings {
    Settings::load().expect("the environment's settings are valid")
}

fn default_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default")
}

fn session(dir: &Path) -> Result<Session, speech::model::ContractError> {
    let settings = settings();
    let runtime = Runtime::load(&settings.runtime).expect("run ./test.sh, which sets up ONNX Runtime");
    Session::load(&runtime, dir, &settings.model).map(|(session, _)| session)
}

/// A modulated tone, different for each seed.
fn sound(samples: usize, seed: f32) -> Vec<f32> {
    (0..samples)
        .map(|i| {
            let t = i as f32 / SAMPLE_RATE as f32;
            let pitch = 120.0 + 40.0 * seed + 30.0 * (t * 3.0).sin();
            (t * pitch * std::f32::consts::TAU).sin() * (0.3 + 0.2 * (t * 4.0 + seed).sin())
        })
        .collect()
}

#[test]
fn a_prediction_does_not_depend_on_the_batch() {
    let mut session = session(&default_model()).expect("the default model keeps the contract");
    let sounds: Vec<_> = [MIN_SAMPLES, 719, 16_000, 48_123, 160_000, 300_000]
        .into_iter()
        .enumerate()
        .map(|(i, samples)| sound(samples, i as f32))
        .collect();
    let batch: Vec<&[f32]> = sounds.iter().map(Vec::as_slice).collect();
    let together = session.run(&batch, true).expect("predictions");
    for (sound, among_others) in batch.iter().zip(&together) {
        let alone = &session.run(&[sound], true).expect("predictions")[0];
        let worst = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(alone.frame_logits.len(), frame_count(sound.len()));
        let scores = |prediction: &speech::model::Prediction| Scores::from_logits(&prediction.logits).expect("finite");
        let off = worst(scores(alone).as_array(), scores(among_others).as_array());
        assert!(off < 1e-4, "{} samples: scores differ by {off}", sound.len());
        // A single frame has no spread over time, and what is divided by a spread of almost zero magnifies rounding.
        let limit = if frame_count(sound.len()) == 1 { 1e-3 } else { 1e-5 };
        let largest = alone.embedding.iter().fold(1.0, |most: f32, value| most.max(value.abs()));
        let (embedding, frames) =
            (worst(&alone.embedding, &among_others.embedding), worst(&alone.frames, &among_others.frames));
        assert!(embedding < limit * largest, "{} samples: embeddings differ by {embedding}", sound.len());
        assert!(frames < 10.0 * limit * largest, "{} samples: frames differ by {frames}", sound.len());
    }
}

#[test]
fn several_threads_run_one_session_at_the_same_time() {
    let session = session(&default_model()).expect("the default model keeps the contract");
    let sounds: Vec<_> = (0..6).map(|i| sound(MIN_SAMPLES + i * 11_003, i as f32)).collect();
    let mut alone = session.caller().expect("a caller");
    let expected: Vec<_> =
        sounds.iter().map(|sound| alone.run(&[sound], true).expect("predictions").remove(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let mut caller = session.caller().expect("a caller");
            let (sounds, expected) = (&sounds, &expected);
            scope.spawn(move || {
                for round in 0..40 {
                    let i = (thread + round) % sounds.len();
                    let prediction = caller.run(&[&sounds[i]], round % 2 == 0).expect("predictions").remove(0);
                    assert_eq!(prediction.logits, expected[i].logits, "thread {thread}, round {round}, sound {i}");
                    assert_eq!(prediction.embedding, expected[i].embedding, "thread {thread}, round {round}");
                }
            });
        }
    });
}

#[test]
fn the_scores_of_frames_average_to_those_of_the_whole() {
    let mut session = session(&default_model()).expect("the default model keeps the contract");
    let prediction = &session.run(&[&sound(80_000, 1.0)], true).expect("predictions")[0];
    for label in 0..9 {
        let mean = prediction.frame_logits.iter().map(|f| f[label]).sum::<f32>() / prediction.frame_logits.len() as f32;
        assert!((mean - prediction.logits[label]).abs() < 1e-3, "label {label}: {mean} {}", prediction.logits[label]);
    }
}

#[test]
fn the_prediction_for_silence_is_a_number() {
    let mut session = session(&default_model()).expect("the default model keeps the contract");
    let prediction = &session.run(&[&vec![0.0; 16_000]], false).expect("predictions")[0];
    assert!(prediction.logits.iter().all(|l| l.is_finite()));
}

#[test]
fn a_graph_that_was_tampered_with_is_refused() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let card = std::fs::read(default_model().join("model.json")).expect("the default model has a card");
    let mut graph = std::fs::read(default_model().join("model.onnx")).expect("the default model has a graph");
    graph.push(0);
    std::fs::write(dir.path().join("model.json"), card).expect("written");
    std::fs::write(dir.path().join("model.onnx"), graph).expect("written");
    let error = session(dir.path()).err().expect("must be refused").to_string();
    assert!(error.contains("don't belong together"), "{error}");
}

#[test]
fn an_unknown_execution_provider_is_refused_with_the_known_ones() {
    let error = Settings::from_toml("model.provider = \"tpu\"").expect_err("unknown").to_string();
    assert!(error.contains("model.provider") && error.contains("cpu"), "{error}");
}
