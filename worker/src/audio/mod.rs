//! From a file of any format to stretches of speech at 16 kHz, streamed: whatever the length of
//! the recording, no more than one segment per track is held in memory.
//!
//! Synchronous: it runs on a thread for blocking work.

mod preprocess;
mod vad;

pub use preprocess::{Preprocess, Preprocessed, Sink, SpeechSegment};
pub use vad::VoiceDetector;

/// Samples a second of everything past the resampler.
pub const SAMPLE_RATE: u32 = 16_000;
