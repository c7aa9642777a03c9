//! Fetches recordings, hears their emotion, records it.

pub mod cli;
pub mod memory;
pub mod metrics;
pub mod pipeline;
pub mod service;
