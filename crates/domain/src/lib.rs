//! The nouns of emofleet. Nothing here reads a file, a socket or a clock.

pub mod alert;
pub mod call;
pub mod channel;
pub mod clock;
pub mod duration;
pub mod emotion;
pub mod failure;
pub mod job;
mod label;
pub mod lane;
pub mod model;
pub mod report;
pub mod scores;
pub mod setting;
pub mod spreadsheet;
pub mod visible;
pub mod warning;

pub use call::CallData;
pub use channel::{ChannelLayout, Role, counted_from_zero};
pub use emotion::Emotion;
pub use failure::{Class, Failure, FailureCode};
pub use job::{AnalysisOptions, BatchId, Granularity, Job, JobId, ObjectRef};
pub use label::UnknownLabel;
pub use lane::{JobQueue, Lane};
pub use model::ModelIdentity;
pub use report::Report;
pub use scores::Scores;
pub use setting::Check;
pub use warning::{Warning, WarningCode};
