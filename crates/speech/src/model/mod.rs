//! The emotion model: what it must be, how it is run, how segments are batched for it.

mod batch;
mod contract;
pub mod provider;
mod session;

pub use batch::{InferenceHandle, PendingPrediction, Prediction, Request};
pub use contract::{ContractError, ModelCard, Precision};
pub use session::{Loaded, Session};
