//! The emotion model: its contract, its session on ONNX Runtime, and the threads that run it in batches.

mod batch;
mod contract;
mod contract_error;
#[cfg(feature = "operators-library")]
mod foreign;
mod inference;
mod instructions;
#[cfg_attr(not(target_arch = "x86_64"), path = "operators_elsewhere.rs")]
mod operators;
mod processor;
pub mod provider;
mod queue;
mod session;
mod shared;

pub use contract::{ModelCard, Precision};
pub use contract_error::ContractError;
#[cfg(feature = "operators-library")]
pub use foreign::RegisterCustomOps;
pub use inference::{InferenceHandle, PendingPrediction, Prediction, Request};
pub use instructions::Instructions;
pub use session::{Loaded, Session};
