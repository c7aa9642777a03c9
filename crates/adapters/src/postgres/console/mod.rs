//! What the console reads and keeps: analyses page by page, jobs in progress, users and the audit trail.

mod access;
mod analyses;
mod audit;
mod batches;
mod filter;
mod recordings;
mod requests;
mod segments;
mod users;
mod watch;

pub use access::{NewToken, Session, Token};
pub use analyses::AnalysisRow;
pub use audit::AuditEntry;
pub use batches::BatchRow;
pub use filter::{AnalysisFilter, Cursor, RecordingFilter};
pub use recordings::{RecordingFacts, RecordingRow};
pub use requests::Reservation;
pub use segments::{SegmentFilter, SegmentRow};
pub use users::User;
pub use watch::{JobState, ProgressNews, ProgressNote};
