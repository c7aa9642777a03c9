//! What preprocessing delivers: blocks of audio, and segments of speech.

use domain::Failure;

/// Receives the output of preprocessing while it runs. An error stops the run and is its result.
pub trait Sink {
    /// The next samples of the scored tracks, in track order: shape `[scored tracks][samples]`, 16 kHz, in [-1, 1].
    /// The audio copy holds them. Without a track: nothing to store, the reading only goes on.
    fn block(&mut self, scored: &[Vec<f32>]) -> Result<(), Failure>;

    /// A segment of speech. Segments of one track come in order of time.
    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure>;
}

/// A segment of speech of one track.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechSegment {
    /// Index into [`super::Preprocessed::tracks`].
    pub track: usize,
    /// Number within the track, from 0.
    pub index: u32,
    /// Its first sample at 16 kHz, from the recording's beginning.
    pub start_sample: u64,
    /// One past the last sample at 16 kHz.
    pub end_sample: u64,
    /// Mono, 16 kHz, in [-1, 1]; `end_sample - start_sample` of them.
    pub samples: Vec<f32>,
}
