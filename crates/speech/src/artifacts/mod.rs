//! The three files that an analysis writes: `processed_audio.wav`, `result.json`, `embedding.npy`.

mod npy;
mod wav;

pub use npy::EmbeddingFile;
pub use wav::AudioFile;

/// File name and content type of the report.
pub const RESULT: (&str, &str) = ("result.json", "application/json");
/// File name and content type of the 16 kHz audio.
pub const AUDIO: (&str, &str) = ("processed_audio.wav", "audio/wav");
/// File name and content type of the embedding.
pub const EMBEDDING: (&str, &str) = ("embedding.npy", "application/octet-stream");
