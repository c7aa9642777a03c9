//! The emotion model: its contract, its session on ONNX Runtime, and the threads that run it in batches.

mod batch;
mod contract;
mod inference;
mod processor;
pub mod provider;
mod queue;
mod session;
mod shared;

pub use contract::{ContractError, ModelCard, Precision};
pub use inference::{InferenceHandle, PendingPrediction, Prediction, Request};
pub use session::{Loaded, Session};
