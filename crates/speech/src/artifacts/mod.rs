//! The three files that an analysis writes: the audio copy (`processed_audio.wav` or `.flac`), `result.json`, `embedding.npy`.

mod audio;
mod npy;

pub use audio::{AudioFile, AudioFormat, AudioHeader, AudioReader};
pub use npy::EmbeddingFile;

/// File name and content type of the report.
pub const RESULT: (&str, &str) = ("result.json", "application/json");
/// File name and content type of the embedding.
pub const EMBEDDING: (&str, &str) = ("embedding.npy", "application/octet-stream");
