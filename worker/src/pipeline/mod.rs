//! The life of a recording on a worker: fetched, analysed, reported, recorded, settled.

mod analyse;
mod drain;
mod intake;
mod job;
mod patience;
mod scratch;
mod tally;

pub use analyse::{Analysed, Analyser, Wish};
pub use drain::Stop;
pub use intake::Intake;
pub use job::Workshop;
pub(crate) use job::compose;

use domain::{Failure, FailureCode};

/// What a failed write to the worker's own disk means: full, or a defect.
pub(crate) fn disk_failure(what: &str, error: &std::io::Error) -> Failure {
    let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
    let code = if full { FailureCode::WorkerNoSpace } else { FailureCode::WorkerInternal };
    Failure::new(code, format!("{what}: {error}"))
}
