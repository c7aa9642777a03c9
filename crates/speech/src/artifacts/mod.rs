//! The three files that an analysis writes: `processed_audio.wav`, `result.json`, `embedding.npy`.

mod npy;
mod wav;

use domain::{Failure, FailureCode};

pub use npy::EmbeddingFile;
pub use wav::AudioFile;

/// File name and content type of the report.
pub const RESULT: (&str, &str) = ("result.json", "application/json");
/// File name and content type of the 16 kHz audio.
pub const AUDIO: (&str, &str) = ("processed_audio.wav", "audio/wav");
/// File name and content type of the embedding.
pub const EMBEDDING: (&str, &str) = ("embedding.npy", "application/octet-stream");

/// The failure of a write to the worker's own disk: full, or a defect.
pub fn disk_failure(what: &str, error: &std::io::Error) -> Failure {
    let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
    let code = if full { FailureCode::WorkerNoSpace } else { FailureCode::WorkerInternal };
    Failure::new(code, format!("{what}: {error}"))
}
