//! Voice activity: where somebody speaks on each track, and how speech is cut into segments.

mod second_pass;
mod segmenter;
mod silero;
mod track;

pub use silero::VoiceDetector;
pub(super) use track::SpeechTracks;
