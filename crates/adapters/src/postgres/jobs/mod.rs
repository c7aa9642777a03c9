//! Jobs: registered by producers, begun by workers, and how far they are.

mod attempt;
mod forgotten;
mod lost;
mod progress;
mod register;
mod status;
mod upsert;

pub(super) use attempt::stored_failure;
pub use attempt::{Attempt, AttemptToken, Begun};
pub(super) use forgotten::DELETING;
pub use forgotten::Withheld;
pub use lost::{LostQuery, SetAside, Silent};
pub use progress::{BatchSummary, Progress};
pub use register::{JOBS_PER_CHUNK, NewBatch};
pub use status::Status;
pub(super) use upsert::{UpsertOptions, recording_id, upsert_statement};
