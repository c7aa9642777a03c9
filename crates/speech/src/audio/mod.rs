//! From a file of any format to segments of speech at 16 kHz. Streamed: whatever the length of the recording, no
//! more than one segment per track is in memory.
//!
//! Imports point one way: `errors`, `bytes`, `budget` <- `codec` <- `container` <- `source` <- `decode` <-
//! `align` <- `recording` <- `preprocess`.
//! Synchronous: it runs on a thread for blocking work.

mod align;
mod budget;
mod bytes;
mod clock;
mod codec;
mod container;
mod damage;
mod decode;
mod errors;
mod preprocess;
mod recording;
mod resample;
mod separation;
mod sink;
mod source;
mod stage_times;
mod timeline;
mod vad;

pub use align::Aligned;
pub use decode::Decoder;
pub use preprocess::{Preprocess, Preprocessed};
pub use recording::Recording;
pub use resample::Resampler16k;
pub use sink::{Sink, SpeechSegment};
pub use stage_times::StageTimes;
pub use vad::VoiceDetector;
