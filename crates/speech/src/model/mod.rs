//! The emotion model: its contract, its session on ONNX Runtime, and the threads that run it in batches.

mod batch;
#[cfg_attr(not(target_arch = "x86_64"), path = "bf16_elsewhere.rs")]
mod bf16;
mod contract;
mod foreign;
mod inference;
mod processor;
pub mod provider;
mod queue;
mod session;
mod shared;

pub use contract::{ContractError, ModelCard, Precision};
pub use foreign::register_operators;
pub use inference::{InferenceHandle, PendingPrediction, Prediction, Request};
pub use session::{Loaded, Session};
