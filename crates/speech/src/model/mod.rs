//! The emotion model: what it must be, how it is run, how segments are batched for it.

mod batch;
mod contract;
mod session;

pub use batch::{InferenceHandle, PendingPrediction, Prediction, Request};
pub use contract::{ContractError, ModelCard, Precision};
pub use session::{Loaded, Session};

/// Fewest samples (25 ms at 16 kHz) that give one frame.
pub const MIN_SAMPLES: usize = 400;
