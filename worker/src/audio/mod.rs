//! From a file of any format to stretches of speech at 16 kHz, streamed: whatever the length of
//! the recording, no more than one segment per track is held in memory.
//!
//! Synchronous: it runs on a thread for blocking work.

mod aac;
mod bytes;
mod decode;
mod listener;
mod magic;
mod matroska;
mod mp4;
mod mpeg;
mod opus;
mod preprocess;
mod probe;
mod resample;
mod segment;
mod speech;
mod trim;
mod vad;
mod view;
mod wave;

pub use decode::Decoder;
pub use preprocess::{Preprocess, Preprocessed, Sink, SpeechSegment};
pub use resample::To16k;
pub use vad::VoiceDetector;

/// Samples a second of everything past the resampler.
pub const SAMPLE_RATE: u32 = 16_000;
