//! Voice activity detection on each track, and cutting speech into segments.

mod level;
mod second_pass;
mod segmenter;
mod silero;
mod spectrum;
mod track;

pub use silero::VoiceDetector;
pub(super) use track::SpeechTracks;
