//! Silero: where somebody speaks.

use crate::runtime::Runtime;
use domain::Failure;

/// Silero's network, shared by all tracks and threads.
#[derive(Debug)]
pub struct VoiceDetector {
    runtime: Runtime,
}

impl VoiceDetector {
    /// Loads the model that `runtime` found.
    ///
    /// # Errors
    /// `worker.internal` when the file is no such model.
    pub fn load(runtime: &Runtime) -> Result<Self, Failure> {
        Ok(Self { runtime: runtime.clone() })
    }
}
