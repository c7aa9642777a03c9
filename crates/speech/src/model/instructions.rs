//! Instructions of processors that the operators of this crate need.

use super::operators;
use serde::Deserialize;

/// By the names that Linux has for them in /proc/cpuinfo. `model.json` lists what its graph needs as `"operators"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Instructions {
    /// Products of numbers with 8 significant bits.
    #[serde(rename = "avx512_bf16")]
    Avx512Bf16,
    /// Products of 8-bit numbers.
    #[serde(rename = "avx512_vnni")]
    Avx512Vnni,
}

impl Instructions {
    /// As in `model.json`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Avx512Bf16 => "avx512_bf16",
            Self::Avx512Vnni => "avx512_vnni",
        }
    }

    /// Whether this processor has them.
    pub(super) fn here(self) -> bool {
        operators::available(self)
    }
}
