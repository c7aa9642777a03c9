//! The worker: fetches recordings, predicts their emotions, records the results.

pub mod cli;
pub mod concurrency;
pub mod memory;
pub mod metrics;
pub mod pipeline;
pub mod service;
