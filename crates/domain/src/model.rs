//! Which model heard it.

use serde::{Deserialize, Serialize};

/// What every result keeps of the model that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// `name` in `model.json`; what jobs ask for.
    pub name: String,
    /// `version` in `model.json`.
    pub version: String,
    /// SHA-256 of `model.onnx`, hex.
    pub sha256: String,
}
