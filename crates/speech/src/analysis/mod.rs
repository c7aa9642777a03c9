//! One recording: its segments predicted, and the predictions aggregated.

mod aggregator;
mod analyzer;

pub use analyzer::{Analysis, Analyzer};
