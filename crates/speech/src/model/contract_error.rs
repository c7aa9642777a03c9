//! Why a model folder is refused, and what to do about it.

use super::instructions::Instructions;
use domain::Emotion;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Why a folder is not a model that the fleet can run. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// A file does not exist or can't be read.
    #[error("{path} can't be read: {why}. A model folder holds model.onnx and model.json; see `model.dir`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// `model.json` is not the file it should be.
    #[error("{path} is not a model card: {why}")]
    Card {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: serde_json::Error,
    },
    /// The labels differ, or their order does.
    #[error("the model's labels are {found:?}; the fleet needs {expected:?}, in this order. Export the model again", expected = Emotion::ALL.map(Emotion::label))]
    Labels {
        /// As in `model.json`.
        found: Vec<String>,
    },
    /// A number in `model.json` is not what the pipeline works with.
    #[error("model.json says {key} = {found}; it must be {}", range(allowed))]
    Number {
        /// The key.
        key: &'static str,
        /// As in `model.json`.
        found: u64,
        /// What it may be.
        allowed: RangeInclusive<u64>,
    },
    /// `weight_bits` belongs to another precision.
    #[error(
        "model.json says weight_bits = {found}, which is for \"precision\": \"int8\" only: remove it, or name the precision of the graph"
    )]
    BitsWithoutInt8 {
        /// As in `model.json`.
        found: u64,
    },
    /// The model would be computed wrongly here.
    #[error(
        "the model has 8-bit weights, and this processor has no VNNI (avx512_vnni or avx_vnni in /proc/cpuinfo): its sums would \
         saturate and the predictions would be wrong. Export the model with --int8-bits 7, take its fp32 form, or run this worker \
         on a processor with VNNI"
    )]
    Processor,
    /// The model's operators need instructions that this processor has not.
    #[error(
        "the model's operators need {} (in /proc/cpuinfo), which this processor has not: take the model's fp32 form, export int8 \
         with --int8-bits 7 (or 8, where there is VNNI), or run this worker on a processor that has it",
        .missing.label()
    )]
    Instructions {
        /// The first that is missing.
        missing: Instructions,
    },
    /// An advised alert threshold is out of range.
    #[error("model.json says alerts.{emotion}.{key} = {found}; it must be {allowed}")]
    Alert {
        /// The emotion.
        emotion: Emotion,
        /// The key.
        key: &'static str,
        /// As in `model.json`.
        found: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// `model.onnx` is not the file that `model.json` was written for.
    #[error(
        "model.onnx has SHA-256 {found}, model.json says {expected}: the files don't belong together; fetch both again"
    )]
    Hash {
        /// Of the file.
        found: String,
        /// As in `model.json`.
        expected: String,
    },
    /// The configuration asks for another model.
    #[error(
        "{dir} holds the model `{found}`, but `model.name` is `{expected}`: change one of them, since jobs carry the name"
    )]
    Name {
        /// The folder.
        dir: PathBuf,
        /// As in `model.json`.
        found: String,
        /// As configured.
        expected: String,
    },
    /// The graph's inputs or outputs break the contract.
    #[error("the graph breaks the model contract: {0}. See docs/architecture.md, \"The model contract\"")]
    Graph(String),
    /// ONNX Runtime refuses the file.
    #[error("ONNX Runtime can't load or run the model: {0}")]
    Runtime(String),
}

fn range(allowed: &RangeInclusive<u64>) -> String {
    let (least, most) = (allowed.start(), allowed.end());
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}
