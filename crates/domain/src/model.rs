//! Which model made a prediction.

use serde::{Deserialize, Serialize};

/// The model's identity, stored with every result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// `name` in `model.json`; the one that jobs name.
    pub name: String,
    /// `version` in `model.json`.
    pub version: String,
    /// SHA-256 of `model.onnx`, hex.
    pub sha256: String,
}
