//! Postgres: jobs, results, alerts, reviews, and queries over them. The schema is in `migrations/`. All SQL
//! statements of the programs are in this folder, long ones in `.sql` files beside the code.
//!
//! Delivery is at least once, so every write here may be repeated: by a second delivery, by a second worker at
//! the same moment, after a commit whose answer was lost. The rules: a job is one row of `analyses`; only the
//! attempt that began last writes it; a failure never replaces `done`; the timeline of a job is replaced as a whole, in the transaction that sets it `done`.

mod alerts;
mod conflict;
mod connect;
pub mod console;
mod errors;
mod jobs;
mod outbox;
mod probe;
mod results;
mod retention;
mod reviews;
mod roles;
mod rows;
mod settings;
mod text;
mod watches;

pub use connect::Database;
pub use domain::report::Artifacts;
pub use jobs::{
    Attempt, AttemptToken, BatchSummary, Begun, JOBS_PER_CHUNK, LostQuery, NewBatch, Progress, SetAside, Silent,
    Status, Withheld,
};
pub use outbox::{
    Claim, ClaimOutcome, ClaimRequest, DestinationBacklog, DestinationStatus, OutboxListener, OutboxMessage, Retry,
};
pub use results::{Bookmark, ChannelSummary, PastCall, RecordOutcome, ResultRow};
pub use retention::{Age, Boot, Erasure, Expired, ExpiredCount, LastPrune, OpenJobs, PruneSummary};
pub use reviews::{Import, Imported, Review, Unplaced};
pub use settings::Settings;
pub use watches::{EnqueuedObject, KeyRange, RecordingState, WatchState};
