//! One recording: its segments predicted, and the predictions aggregated.

mod aggregator;
mod analyzer;
mod control;

pub use analyzer::{Analysis, Analyzer};
pub use control::AnalysisControl;
