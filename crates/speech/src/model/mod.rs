//! The emotion model: its contract, its session on ONNX Runtime, and batching.

mod batch;
mod contract;
pub mod provider;
mod session;

pub use batch::{InferenceHandle, PendingPrediction, Prediction, Request};
pub use contract::{ContractError, ModelCard, Precision};
pub use session::{Loaded, Session};
