//! Fetches recordings, hears their emotion, records it.

pub mod artifacts;
pub mod audio;
pub mod cli;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod pipeline;
pub mod runtime;
pub mod service;
