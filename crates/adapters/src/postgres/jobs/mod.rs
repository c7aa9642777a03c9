//! Jobs: registered by producers, begun by workers, and how far they are.

mod attempt;
mod progress;
mod register;
mod status;
mod upsert;

pub use attempt::Attempt;
pub(super) use attempt::stored_failure;
pub use progress::{BatchSummary, Progress};
pub use register::{JOBS_PER_CHUNK, NewBatch};
pub use status::Status;
pub(super) use upsert::recording_id;
