//! The stages in a row: decode, keep the scored channels apart, resample, find speech, cut.

use super::VoiceDetector;
use adapters::config;
use domain::channel::Track;
use domain::report::AudioFacts;
use domain::{Failure, FailureCode};
use std::fs::File;

/// What preprocessing needs besides the file.
#[derive(Debug, Clone, Copy)]
pub struct Preprocess<'a> {
    /// Limits.
    pub audio: &'a config::Audio,
    /// How speech is cut.
    pub segment: &'a config::Segment,
    /// Hears where somebody speaks.
    pub vad: &'a VoiceDetector,
}

/// Takes what preprocessing gives, while it goes on. An error stops the run and is its result.
pub trait Sink {
    /// The next samples at 16 kHz of the scored tracks (in the order of the tracks, those left
    /// out skipped), all of equal length, in [-1, 1]: what `processed_audio.wav` holds.
    fn block(&mut self, scored: &[Vec<f32>]) -> Result<(), Failure>;

    /// A stretch of speech. Segments of one track come in order of time.
    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure>;
}

/// A stretch of speech of one track.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechSegment {
    /// Index into [`Preprocessed::tracks`].
    pub track: usize,
    /// Number within the track, from 0.
    pub index: u32,
    /// First sample at 16 kHz, from the recording's beginning.
    pub start_sample: u64,
    /// One past the last sample at 16 kHz.
    pub end_sample: u64,
    /// Mono, 16 kHz, in [-1, 1]; `end_sample - start_sample` of them.
    pub samples: Vec<f32>,
}

/// What a recording was.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessed {
    /// As found by its content.
    pub facts: AudioFacts,
    /// As `layout` gave them.
    pub tracks: Vec<Track>,
    /// Samples at 16 kHz in segments, per track; 0 for those left out.
    pub speech_samples: Vec<u64>,
    /// Packets that could not be decoded and were passed over.
    pub bad_packets: u64,
}

impl Preprocess<'_> {
    /// Reads `file` from its beginning to its end. `layout` is told how many channels there are
    /// and says which tracks to make of them.
    ///
    /// # Errors
    /// An `audio.*` or `channels.*` failure of the recording, or whatever the sink returned.
    pub fn run(
        &self,
        file: File,
        layout: impl FnOnce(u16) -> Vec<Track>,
        sink: &mut dyn Sink,
    ) -> Result<Preprocessed, Failure> {
        let _ = (file, layout, sink);
        Err(Failure::new(FailureCode::WorkerInternal, "preprocessing is not built yet"))
    }
}
