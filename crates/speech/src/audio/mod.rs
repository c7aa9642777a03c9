//! From a file of any format to segments of speech at 16 kHz, streamed: whatever the length of
//! the recording, no more than one segment per track is held in memory.
//!
//! Synchronous: it runs on a thread for blocking work.

mod container;
mod decode;
mod opus;
mod preprocess;
mod resample;
mod sink;
mod trim;
mod vad;

pub use decode::Decoder;
pub use preprocess::{Preprocess, Preprocessed};
pub use resample::To16k;
pub use sink::{Sink, SpeechSegment};
pub use vad::VoiceDetector;
