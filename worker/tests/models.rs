//! Exported emotion2vec+ models, as `worker model check` and `worker model compare` see them. The models of
//! tests/models are the real architecture, as narrow as can be; `models/emotion2vec/tests/worker_models.py` makes them.

use domain::Scores;
use serde_json::{Value, json};
use settings::Settings;
use speech::model::{Precision, Prediction, Session};
use speech::runtime::Runtime;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn exported(precision: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(precision)
}

/// Runs the program, as a user does.
fn worker(arguments: &[&str]) -> Output {
    let program = Command::new(env!("CARGO_BIN_EXE_worker")).args(arguments).output();
    program.expect("the worker's binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("the tests' paths are UTF-8")
}

/// Copies of an exported model's card and graph, changed by `change`; the hash fits whatever comes out.
fn changed(precision: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) -> TempDir {
    let dir = tempfile::tempdir().expect("temporary folder");
    let card = std::fs::read(exported(precision).join("model.json")).expect("the exported model has a card");
    let mut card: Value = serde_json::from_slice(&card).expect("the card is JSON");
    let mut graph = std::fs::read(exported(precision).join("model.onnx")).expect("the exported model has a graph");
    let honest = card["sha256"].clone();
    change(&mut card, &mut graph);
    if card["sha256"] == honest {
        card["sha256"] = json!(sha256(&graph));
    }
    std::fs::write(dir.path().join("model.json"), card.to_string()).expect("written");
    std::fs::write(dir.path().join("model.onnx"), graph).expect("written");
    dir
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    format!("{:x}", Sha256::digest(bytes))
}

/// A name of the graph, everywhere, replaced by another of the same length: protobuf keeps lengths before texts.
fn rename(graph: &mut [u8], name: &str, other: &str) {
    assert_eq!(name.len(), other.len());
    let places: Vec<usize> =
        graph.windows(name.len()).enumerate().filter(|(_, w)| *w == name.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the graph has no {name}");
    for at in places {
        graph[at..at + name.len()].copy_from_slice(other.as_bytes());
    }
}

fn refusal(dir: &TempDir) -> String {
    let output = worker(&["model", "check", utf8(dir.path())]);
    assert!(!output.status.success(), "accepted: {}", text(&output.stdout));
    assert!(!text(&output.stdout).contains("can run this model"));
    text(&output.stderr)
}

#[test]
fn check_describes_an_exported_model() {
    let output = worker(&["model", "check", utf8(&exported("fp32"))]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    let card: Value =
        serde_json::from_slice(&std::fs::read(exported("fp32").join("model.json")).expect("a card")).expect("JSON");
    let hash = card["sha256"].as_str().expect("text");
    for fact in [
        "narrow_fp32 1",
        "FunASR Model Licence",
        "angry disgusted fearful happy neutral other sad surprised unknown",
        hash,
        "parameters   37389\n",
        "32 numbers; 50 frames a second",
        "fp32: a segment's scores change by ",
        "ms per second of audio",
        "MiB more than before loading",
        "The fleet can run this model.",
    ] {
        assert!(printed.contains(fact), "no `{fact}` in:\n{printed}");
    }
}

#[test]
fn check_says_that_an_int8_model_is_not_run_in_batches() {
    let output = worker(&["model", "check", utf8(&exported("int8"))]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    assert!(printed.contains("int8: segments run one at a time"), "{printed}");
    assert!(printed.contains("weights      7 bits\n"), "a card without `weight_bits`: {printed}");
}

#[test]
fn check_prints_the_alert_thresholds_that_a_model_advises() {
    let advises = changed("fp32", |card, _| card["alerts"] = json!({ "angry": { "threshold": 0.45, "in_a_row": 3 } }));
    let output = worker(&["model", "check", utf8(advises.path())]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    assert!(printed.contains("angry: from 0.45 in 3 consecutive segments"), "{printed}");
}

#[test]
fn check_refuses_wrong_models_with_the_reason() {
    let wrong: [(&str, TempDir, &str); 12] = [
        ("hash", changed("fp32", |card, _| card["sha256"] = json!("00")), "don't belong together"),
        ("labels", changed("fp32", |card, _| card["labels"][0] = json!("furious")), "in this order"),
        ("sample rate", changed("fp32", |card, _| card["sample_rate"] = json!(8000)), "it must be 16000"),
        ("input", changed("fp32", |_, graph| rename(graph, "lengths", "lengthy")), "has no input `lengths`"),
        (
            "output",
            changed("fp32", |_, graph| rename(graph, "frame_logits", "frame_scores")),
            "has no output `frame_logits`",
        ),
        (
            "shape",
            changed("fp32", |card, _| card["embedding_dim"] = json!(31)),
            "`embedding` has shape [1, 32], not [1, 31]",
        ),
        ("cut short", changed("fp32", |_, graph| graph.truncate(100_000)), "ONNX Runtime can't load or run the model"),
        ("neighbours", changed("int8", |card, _| card["precision"] = json!("fp32")), "with the batch it is in"),
        (
            "precision",
            changed("fp32", |card, _| card["precision"] = json!("int3")),
            "expected one of `fp32`, `int8`, `bf16`",
        ),
        ("bits", changed("int8", |card, _| card["weight_bits"] = json!(4)), "weight_bits = 4; it must be 7 to 8"),
        ("operators", changed("fp32", |card, _| card["operators"] = json!(["avx1024"])), "unknown variant `avx1024`"),
        (
            "bits of fp32",
            changed("fp32", |card, _| card["weight_bits"] = json!(8)),
            "weight_bits = 8, which is for \"precision\": \"int8\" only",
        ),
    ];
    for (what, dir, reason) in wrong {
        let error = refusal(&dir);
        assert!(error.contains(reason), "{what}: {error}");
    }
}

/// The exporter's tests make the same noise: a 32-bit linear congruential generator, swelling and fading.
fn sound(samples: usize) -> Vec<f32> {
    let mut state = u32::try_from(samples).expect("a short sound");
    let mut next = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let swell = (f64::from(u32::try_from(at % 2000).expect("below 2000")) - 1000.0).abs() / 1000.0;
        (0.5 * (f64::from(state >> 16) / 32_768.0 - 1.0) * swell) as f32
    };
    (0..samples).map(&mut next).collect()
}

fn largest_difference<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f32>) -> f32 {
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn scores(prediction: &Prediction) -> Scores {
    Scores::from_logits(&prediction.logits).expect("finite")
}

fn load(precision: &str) -> (Session, speech::model::Loaded) {
    let settings = Settings::load().expect("the environment's settings are valid");
    let runtime = Runtime::load(&settings.runtime).expect("run ./test.sh, which sets up ONNX Runtime");
    Session::load(&runtime, &exported(precision), &settings.model).expect("the exported model keeps the contract")
}

#[test]
fn predictions_equal_funasrs_one_by_one_and_in_a_batch() {
    let expected: Value = serde_json::from_str(include_str!("models/funasr.json")).expect("JSON");
    let expected = expected.as_array().expect("a list");
    let numbers = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).expect("numbers") };
    let sounds: Vec<Vec<f32>> =
        expected.iter().map(|e| sound(e["samples"].as_u64().expect("a number") as usize)).collect();
    let batch: Vec<&[f32]> = sounds.iter().map(Vec::as_slice).collect();
    let (mut session, _) = load("fp32");

    let together = session.run(&batch, false).expect("predictions");

    for ((expected, samples), among_others) in expected.iter().zip(&batch).zip(&together) {
        let alone = &session.run(&[samples], false).expect("predictions")[0];
        for prediction in [alone, among_others] {
            assert!(largest_difference(scores(prediction).as_array(), &numbers(&expected["scores"])) <= 1e-4);
            assert!(largest_difference(&prediction.embedding, &numbers(&expected["embedding"])) <= 1e-4);
        }
    }
}

#[test]
fn an_int8_models_predictions_do_not_depend_on_the_batch_either() {
    let (mut session, loaded) = load("int8");
    assert_eq!(loaded.card.precision, Precision::Int8);
    assert!(loaded.batch_difference > 1e-4, "then it need not be run one by one: {}", loaded.batch_difference);
    let (loud, quiet) = (sound(40_000), sound(16_000).iter().map(|s| s * 0.01).collect::<Vec<f32>>());

    let together = session.run(&[&loud, &quiet], true).expect("predictions");

    let alone = &session.run(&[&quiet], true).expect("predictions")[0];
    assert_eq!(together[1].logits, alone.logits);
    assert_eq!(together[1].frame_logits, alone.frame_logits);
}

/// A model with operators of the fleet's own, where the processor has them; elsewhere the refusal is checked, and the test is
/// skipped.
fn with_operators(name: &str, precision: Precision) -> Option<Session> {
    let settings = Settings::load().expect("the environment's settings are valid");
    let runtime = Runtime::load(&settings.runtime).expect("run ./test.sh, which sets up ONNX Runtime");
    match Session::load(&runtime, &exported(name), &settings.model) {
        Ok((session, loaded)) => {
            assert_eq!(loaded.card.precision, precision);
            Some(session)
        }
        Err(refusal) => {
            assert!(refusal.to_string().contains("the model's operators need avx512_"), "{refusal}");
            println!("skipped: {refusal}");
            None
        }
    }
}

/// `scores`: most that a score may be away from `FunASR`'s; `embedding`: the relative error, at least and at most.
fn is_close_to_funasr(session: &mut Session, most: f32, embedding: std::ops::Range<f32>) {
    let expected: Value = serde_json::from_str(include_str!("models/funasr.json")).expect("JSON");
    let numbers = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).expect("numbers") };
    for expected in expected.as_array().expect("a list") {
        let samples = sound(expected["samples"].as_u64().expect("a number") as usize);
        let prediction = &session.run(&[&samples], true).expect("predictions")[0];
        let away = largest_difference(scores(prediction).as_array(), &numbers(&expected["scores"]));
        assert!(away <= most, "{away}");
        let wanted = numbers(&expected["embedding"]);
        let length = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
        let gap: Vec<f32> = prediction.embedding.iter().zip(&wanted).map(|(a, b)| a - b).collect();
        let error = length(&gap) / length(&wanted);
        assert!(embedding.contains(&error), "{error}: too far, or computed in fp32");
    }
}

/// Neither on the batch nor on other callers at the same time.
fn depends_on_the_segment_alone(session: &mut Session) {
    let (long, short) = (sound(40_000), sound(16_000));

    let together = session.run(&[&long, &short], true).expect("predictions");

    let alone = session.run(&[&short], true).expect("predictions");
    assert_eq!(together[1].logits, alone[0].logits);
    assert_eq!(together[1].frame_logits, alone[0].frame_logits);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (mut caller, short) = (session.caller().expect("a caller"), short.clone());
            std::thread::spawn(move || {
                (0..5).map(|_| caller.run(&[&short], true).expect("predictions").remove(0).logits).collect::<Vec<_>>()
            })
        })
        .collect();
    for caller in callers {
        assert!(caller.join().expect("no panic").iter().all(|logits| *logits == alone[0].logits));
    }
}

#[test]
fn bf16_predictions_are_close_to_funasrs_where_the_processor_has_it() {
    let Some(mut session) = with_operators("bf16", Precision::Bf16) else { return };
    is_close_to_funasr(&mut session, 5e-3, 1e-5..0.01);
}

#[test]
fn int8_predictions_of_own_operators_are_close_to_funasrs_where_the_processor_has_them() {
    let Some(mut session) = with_operators("int8_operators", Precision::Int8) else { return };
    is_close_to_funasr(&mut session, 2e-2, 1e-4..0.03);
}

#[test]
fn predictions_of_own_operators_depend_on_neither_the_batch_nor_other_callers() {
    for (name, precision) in [("bf16", Precision::Bf16), ("int8_operators", Precision::Int8)] {
        let Some(mut session) = with_operators(name, precision) else { return };
        depends_on_the_segment_alone(&mut session);
    }
}

/// Speech from a program, at 16 kHz.
fn speech(dir: &Path, name: &str, words: &str) -> PathBuf {
    let path = dir.join(name);
    let made = Command::new("espeak-ng").args(["-w", utf8(&path), words]).status();
    assert!(made.expect("run ./test.sh, which installs espeak-ng").success());
    path
}

#[test]
fn compare_prints_speed_and_agreement_of_two_models() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let one = speech(dir.path(), "order.wav", "I have been waiting for my order for two whole weeks now.");
    let two = speech(dir.path(), "thanks.wav", "Thank you very much, this is exactly what I was looking for.");
    let (fp32, int8) = (exported("fp32"), exported("int8"));

    let compare = |a: &Path, b: &Path| worker(&["model", "compare", utf8(a), utf8(b), utf8(&one), utf8(&two)]);
    let (same, different) = (compare(&fp32, &fp32), compare(&fp32, &int8));

    let total = |output: &Output| {
        let printed = text(&output.stdout);
        assert!(output.status.success(), "{printed}{}", text(&output.stderr));
        for name in ["A ms/s", "same top", "max diff", "mean diff", "order.wav", "thanks.wav"] {
            assert!(printed.contains(name), "no `{name}` in:\n{printed}");
        }
        let row = printed.lines().find(|line| line.starts_with("all ")).expect("a row for all files").to_owned();
        row.split_whitespace().skip(1).map(|cell| cell.trim_end_matches('x').to_owned()).collect::<Vec<_>>()
    };
    let number = |cell: &str| cell.parse::<f64>().expect("a number");
    let (same, different) = (total(&same), total(&different));
    // segments, seconds, A ms/s, B ms/s, A / B, same top, %, largest and mean difference
    assert!(number(&same[0]) >= 2.0 && number(&same[1]) > 3.0, "{same:?}");
    assert!(number(&same[2]) > 0.0 && number(&same[3]) > 0.0 && number(&same[4]) > 0.0, "{same:?}");
    assert_eq!((same[5].as_str(), same[7].as_str(), same[8].as_str()), ("100.0", "0.00000", "0.00000"));
    assert!(number(&different[7]) > number(&different[8]) && number(&different[8]) > 0.0, "{different:?}");
    assert!(number(&different[7]) < 0.2, "{different:?}");
}

#[test]
fn compare_reports_a_file_that_it_cannot_read_and_continues() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let good = speech(dir.path(), "good.wav", "Good morning, how can I help you today?");
    let bad = dir.path().join("bad.wav");
    std::fs::write(&bad, b"this is not sound").expect("written");
    let model = exported("fp32");

    let output = worker(&["model", "compare", utf8(&model), utf8(&model), utf8(&bad), utf8(&good)]);

    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("bad.wav"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("good.wav"), "{}", text(&output.stdout));
}
