//! From a file on disk to an analysis and its artifacts: decode, find speech, predict, aggregate.
//!
//! Knows nothing of brokers, stores or databases: `worker analyze`, the fleet and the fuzz targets
//! all call [`Analyzer::analyze`] or parts of it.

pub mod analysis;
pub mod artifacts;
pub mod audio;
pub mod framing;
pub mod model;
pub mod runtime;
pub mod settings;

pub use analysis::{Analysis, AnalysisControl, Analyzer};
pub use settings::Settings;
