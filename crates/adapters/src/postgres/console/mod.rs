//! What the console reads and keeps: analyses page by page, jobs in progress, users and the audit trail.

mod access;
mod alerts;
mod analyses;
mod audit;
mod batches;
mod calls;
mod filter;
mod job_counts;
mod recordings;
mod requests;
mod review_queue;
mod segments;
mod similar;
mod stats;
mod submissions;
mod users;
mod verdicts;
mod watch;

pub use access::{NewToken, Session, Token};
pub use alerts::AlertRow;
pub use analyses::AnalysisRow;
pub use audit::AuditEntry;
pub use batches::BatchRow;
pub use calls::{CallRow, ChannelCourse};
pub use filter::{AnalysisFilter, Cursor, RecordingFilter};
pub use job_counts::{JobCounts, OldestJob};
pub use recordings::{RecordingFacts, RecordingRow};
pub use requests::Reservation;
pub use review_queue::{LOW_CONFIDENCE, QueuedReview, ReviewReason};
pub use segments::{SegmentFilter, SegmentRow};
pub use similar::Neighbours;
pub use stats::{AgreementCount, EmotionCount, FailureCount, Grouping, Order, Period};
pub use submissions::{NewSubmission, Submitted};
pub use users::User;
pub use verdicts::{ReviewFilter, ReviewRow};
pub use watch::{JobState, Place, ProgressNews, ProgressNote};
