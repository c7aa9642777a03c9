//! Results: written by workers, read as a list or as past calls.

mod history;
mod list;
mod record;
mod timeline;

pub use history::{Bookmark, PastCall};
pub use list::{ChannelSummary, ResultRow};
pub use record::RecordOutcome;
