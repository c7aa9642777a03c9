//! `model.json`, and the contract that `model.onnx` beside it must fulfil.

use super::ContractError;
use super::instructions::Instructions;
use super::processor::Products;
use crate::framing::{FRAME_RATE, SAMPLE_RATE};
use domain::alert::OperatingPoints;
use domain::{Emotion, ModelIdentity};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;

/// Longest embedding that is accepted: eight times that of the largest emotion2vec+.
const MAX_EMBEDDING_DIM: u64 = 8192;
/// Bits that the weights of an int8 model may have; without `weight_bits`, they have the fewest.
const WEIGHT_BITS: RangeInclusive<u64> = 7..=8;

/// What a graph computes with, and so whether a batch changes its predictions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Floats: a prediction does not depend on the batch, which is verified.
    #[default]
    Fp32,
    /// Activations in 8 bits, with one scale for all that is in a run, or, with operators of this crate, for each frame: segments
    /// are predicted one at a time.
    Int8,
    /// Products of numbers with 8 significant bits, by operators of this crate: what differs in the last bit of
    /// an fp32 number between batches may be rounded to two numbers, so segments are predicted one at a time.
    Bf16,
}

impl Precision {
    /// Whether a prediction does not depend on what else is in the batch.
    pub fn allows_batches(self) -> bool {
        self == Self::Fp32
    }

    /// As in `model.json`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Int8 => "int8",
            Self::Bf16 => "bf16",
        }
    }
}

/// `model.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelCard {
    /// Jobs carry it.
    pub name: String,
    /// Of the weights.
    pub version: String,
    /// In output order.
    pub labels: Vec<String>,
    /// Hz.
    pub sample_rate: u32,
    /// Frames a second.
    pub frame_rate: u32,
    /// Numbers in an embedding.
    pub embedding_dim: usize,
    /// Of the weights.
    pub licence: String,
    /// Of model.onnx, hex.
    pub sha256: String,
    /// Labels that this model never predicts, because it had no training data for them.
    #[serde(default)]
    pub cannot_predict: Vec<String>,
    /// Number of weights.
    #[serde(default)]
    pub parameters: Option<u64>,
    /// Of the arithmetic; weights may be stored in fewer bits.
    #[serde(default)]
    pub precision: Precision,
    /// Of each weight of the linear layers, 7 or 8; after [`ModelCard::read`], always known for int8, and absent for others.
    #[serde(default)]
    pub weight_bits: Option<u64>,
    /// What the graph's operators need that are this crate's own; none for a graph of ONNX Runtime's alone. Without the
    /// key, a model in bf16 needs `avx512_bf16`.
    #[serde(default)]
    pub operators: Vec<Instructions>,
    /// Where alerts on an emotion should begin, by measurement: the built-in alert rule follows it.
    #[serde(default)]
    pub alerts: OperatingPoints,
}

impl ModelCard {
    /// Reads and verifies `dir/model.json`, and the hash of `dir/model.onnx`.
    ///
    /// # Errors
    /// [`ContractError`], with what to do.
    pub fn read(dir: &Path) -> Result<Self, ContractError> {
        let path = dir.join("model.json");
        let text = std::fs::read(&path).map_err(|why| ContractError::Unreadable { path: path.clone(), why })?;
        let mut card: Self = serde_json::from_slice(&text).map_err(|why| ContractError::Card { path, why })?;
        card.check_numbers()?;
        card.weight_bits = card.check_weight_bits()?;
        card.check_alerts()?;
        if card.precision == Precision::Bf16 && card.operators.is_empty() {
            card.operators.push(Instructions::Avx512Bf16);
        }
        let onnx = dir.join("model.onnx");
        let found = sha256(&onnx).map_err(|why| ContractError::Unreadable { path: onnx, why })?;
        if !found.eq_ignore_ascii_case(&card.sha256) {
            return Err(ContractError::Hash { found, expected: card.sha256 });
        }
        Ok(card)
    }

    /// What is stored with results.
    pub fn identity(&self) -> ModelIdentity {
        ModelIdentity { name: self.name.clone(), version: self.version.clone(), sha256: self.sha256.clone() }
    }

    /// Whether a processor computes the model correctly.
    ///
    /// # Errors
    /// [`ContractError::Processor`] for 8-bit weights on a processor whose sums of products saturate,
    /// [`ContractError::Instructions`] for operators on one without their instructions.
    pub(super) fn check_processor(
        &self,
        products: Products,
        has: impl Fn(Instructions) -> bool,
    ) -> Result<(), ContractError> {
        if let Some(missing) = self.operators.iter().find(|needed| !has(**needed)) {
            return Err(ContractError::Instructions { missing: *missing });
        }
        match (self.weight_bits, products) {
            (Some(8..), Products::Saturating) => Err(ContractError::Processor),
            _ => Ok(()),
        }
    }

    /// The bits of an int8 model's weights; none for other precisions.
    fn check_weight_bits(&self) -> Result<Option<u64>, ContractError> {
        match (self.precision, self.weight_bits) {
            (Precision::Fp32 | Precision::Bf16, None) => Ok(None),
            (Precision::Fp32 | Precision::Bf16, Some(found)) => Err(ContractError::BitsWithoutInt8 { found }),
            (Precision::Int8, None) => Ok(Some(*WEIGHT_BITS.start())),
            (Precision::Int8, Some(bits)) if WEIGHT_BITS.contains(&bits) => Ok(Some(bits)),
            (Precision::Int8, Some(found)) => {
                Err(ContractError::Number { key: "weight_bits", found, allowed: WEIGHT_BITS })
            }
        }
    }

    fn check_numbers(&self) -> Result<(), ContractError> {
        if self.labels.iter().map(String::as_str).ne(Emotion::ALL.map(Emotion::label)) {
            return Err(ContractError::Labels { found: self.labels.clone() });
        }
        let exactly = |number: u32| u64::from(number)..=u64::from(number);
        let rules = [
            ("sample_rate", u64::from(self.sample_rate), exactly(SAMPLE_RATE)),
            ("frame_rate", u64::from(self.frame_rate), exactly(FRAME_RATE)),
            ("embedding_dim", self.embedding_dim as u64, 1..=MAX_EMBEDDING_DIM),
        ];
        match rules.into_iter().find(|(_, found, allowed)| !allowed.contains(found)) {
            Some((key, found, allowed)) => Err(ContractError::Number { key, found, allowed }),
            None => Ok(()),
        }
    }
    /// The ranges are those of the alert file's `score` and `in_a_row`.
    fn check_alerts(&self) -> Result<(), ContractError> {
        for (emotion, point) in &self.alerts {
            let wrong = |key, found, allowed| ContractError::Alert { emotion: *emotion, key, found, allowed };
            if !(0.0..=1.0).contains(&point.threshold) {
                return Err(wrong("threshold", point.threshold, "0 to 1"));
            }
            if !(1..=1000).contains(&point.in_a_row) {
                return Err(wrong("in_a_row", f64::from(point.in_a_row), "1 to 1000"));
            }
        }
        Ok(())
    }
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    Ok(format!("{:x}", hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::alert::OperatingPoint;

    fn folder(card: &serde_json::Value) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("model.json"), card.to_string()).expect("written");
        std::fs::write(dir.path().join("model.onnx"), b"abc").expect("written");
        dir
    }

    fn card() -> serde_json::Value {
        serde_json::json!({
            "name": "m", "version": "1", "labels": Emotion::ALL.map(Emotion::label), "sample_rate": 16000,
            "frame_rate": 50, "embedding_dim": 4, "licence": "Apache-2.0",
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        })
    }

    #[test]
    fn a_folder_whose_hash_fits_is_read() {
        assert_eq!(ModelCard::read(folder(&card()).path()).expect("valid").name, "m");
    }

    #[test]
    fn a_card_may_advise_where_alerts_begin() {
        assert!(ModelCard::read(folder(&card()).path()).expect("valid").alerts.is_empty());
        let mut advised = card();
        advised["alerts"] = serde_json::json!({
            "angry": { "threshold": 0.45, "in_a_row": 3, "false_alarms_per_100_ordinary_calls": 0.4 },
            "sad": { "threshold": 0.7 },
        });
        let alerts = ModelCard::read(folder(&advised).path()).expect("valid").alerts;
        assert_eq!(alerts[&Emotion::Angry], OperatingPoint { threshold: 0.45, in_a_row: 3 });
        assert_eq!(alerts[&Emotion::Sad], OperatingPoint { threshold: 0.7, in_a_row: 1 });
    }

    fn int8(weight_bits: &serde_json::Value) -> Result<ModelCard, ContractError> {
        let mut card = card();
        card["precision"] = "int8".into();
        card["weight_bits"] = weight_bits.clone();
        ModelCard::read(folder(&card).path())
    }

    #[test]
    fn int8_weights_have_7_bits_or_8_and_fp32_has_none() {
        assert_eq!(ModelCard::read(folder(&card()).path()).expect("valid").weight_bits, None);
        for (written, bits) in [(serde_json::json!(null), 7), (7.into(), 7), (8.into(), 8)] {
            assert_eq!(int8(&written).expect("valid").weight_bits, Some(bits), "{written}");
        }
        for wrong in [0_u64, 6, 9, 16, u64::MAX] {
            let error = int8(&wrong.into()).expect_err("no such weights").to_string();
            assert_eq!(error, format!("model.json says weight_bits = {wrong}; it must be 7 to 8"));
        }
        for wrong in [serde_json::json!(-8), serde_json::json!(7.5), serde_json::json!("8")] {
            let error = int8(&wrong).expect_err("no number of bits").to_string();
            assert!(error.contains("is not a model card"), "{error}");
        }
    }

    #[test]
    fn weights_of_8_bits_are_refused_where_their_products_saturate() {
        let fp32 = ModelCard::read(folder(&card()).path()).expect("valid");
        let [seven, eight] = [7, 8].map(|bits| int8(&bits.into()).expect("valid"));
        for accepted in [&fp32, &seven, &eight] {
            accepted.check_processor(Products::Exact, |_| false).expect("every model runs there");
        }
        for accepted in [&fp32, &seven] {
            accepted.check_processor(Products::Saturating, |_| false).expect("7 bits and fp32 run anywhere");
        }
        let error = eight.check_processor(Products::Saturating, |_| true).expect_err("8 bits do not").to_string();
        for advice in ["no VNNI", "--int8-bits 7", "fp32", "processor with VNNI"] {
            assert!(error.contains(advice), "{error}");
        }
    }

    #[test]
    fn operators_are_refused_where_the_processor_has_no_instructions_for_them() {
        let mut bf16 = card();
        bf16["precision"] = "bf16".into();
        let bf16 = ModelCard::read(folder(&bf16).path()).expect("valid");
        assert_eq!((bf16.precision.label(), bf16.weight_bits), ("bf16", None));
        let mut int8 = card();
        int8["precision"] = "int8".into();
        int8["weight_bits"] = 8.into();
        int8["operators"] = serde_json::json!(["avx512_bf16", "avx512_vnni"]);
        let int8 = ModelCard::read(folder(&int8).path()).expect("valid");
        for card in [&bf16, &int8] {
            card.check_processor(Products::Exact, |_| true).expect("it has all instructions");
        }
        let no_vnni = |needed| needed == Instructions::Avx512Bf16;
        bf16.check_processor(Products::Saturating, no_vnni).expect("it needs no VNNI");
        for (error, missing) in [
            (bf16.check_processor(Products::Exact, |_| false), "avx512_bf16"),
            (int8.check_processor(Products::Exact, no_vnni), "avx512_vnni"),
        ] {
            let error = error.expect_err("no instructions").to_string();
            for advice in [missing, "fp32 form", "--int8-bits 7", "processor that has"] {
                assert!(error.contains(advice), "{error}");
            }
        }
    }

    #[test]
    fn wrong_folders_are_refused_with_the_reason() {
        for (key, value, reason) in [
            ("sha256", serde_json::json!("00"), "don't belong together"),
            ("labels", serde_json::json!(["angry"]), "Export the model again"),
            ("sample_rate", serde_json::json!(8000), "it must be 16000"),
            ("name", serde_json::json!(3), "is not a model card"),
            ("precision", serde_json::json!("int3"), "expected one of `fp32`, `int8`, `bf16`"),
            ("weight_bits", serde_json::json!(8), "is for \"precision\": \"int8\" only"),
            ("weight_bits", serde_json::json!("8"), "invalid type: string \"8\""),
            ("alerts", serde_json::json!({ "furious": { "threshold": 0.5 } }), "unknown variant `furious`"),
            ("alerts", serde_json::json!({ "angry": { "in_a_row": 2 } }), "missing field `threshold`"),
            (
                "alerts",
                serde_json::json!({ "angry": { "threshold": 60 } }),
                "alerts.angry.threshold = 60; it must be 0 to 1",
            ),
            (
                "alerts",
                serde_json::json!({ "angry": { "threshold": 0.6, "in_a_row": 0 } }),
                "alerts.angry.in_a_row = 0; it must be 1 to 1000",
            ),
        ] {
            let mut wrong = card();
            wrong[key] = value;
            let error = ModelCard::read(folder(&wrong).path()).expect_err(key).to_string();
            assert!(error.contains(reason), "{error}");
        }
        let error = ModelCard::read(Path::new("/nowhere")).expect_err("no folder").to_string();
        assert!(error.contains("/nowhere/model.json"), "{error}");
    }
}
