//! Postgres: jobs, results and what is asked of them. The schema lies in `migrations/`, every
//! statement of this program under this folder, long ones in `queries/*.sql`.
//!
//! Delivery is at least once, so every write here may be repeated: by a second delivery, by a
//! second worker at the same moment, after a commit whose answer was lost. The rules:
//! a job is one row of `analyses`; `done` is never undone by a failure; the timeline of a job is
//! replaced as a whole, in the transaction that sets it `done`.

mod alerts;
mod attempt;
mod batch;
mod connect;
pub mod cookbook;
mod enroll;
mod errors;
mod history;
mod month;
mod news;
mod outbox;
mod progress;
mod prune;
mod record;
mod results;
mod reviews;
mod settings;
mod settle;
mod status;
mod text;
mod timeline;

pub use attempt::Attempt;
pub use batch::NewBatch;
pub use connect::Database;
pub use domain::report::Artifacts;
pub use history::{Bookmark, PastCall};
pub use news::News;
pub use outbox::{Budget, Claim, Letter, Order, Turn};
pub use progress::{BatchSummary, Progress};
pub use prune::{Expired, ExpiredCount, Forgotten, Unfinished};
pub use results::{ChannelSummary, ResultRow};
pub use reviews::{Import, Imported, Review, Unplaced};
pub use settings::Settings;
pub use settle::{Backlog, Delivery, Settlement};
pub use status::Status;
