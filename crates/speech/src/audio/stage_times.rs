//! Where preprocessing spends its time.

use super::sink::{Sink, SpeechSegment};
use domain::Failure;
use std::time::{Duration, Instant};

/// Time of each stage of preprocessing. What the sink takes is in none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Decoding, and selecting channels.
    pub decode: Duration,
    /// Resampling to 16 kHz.
    pub resample: Duration,
    /// Voice activity detection, and cutting speech into segments.
    pub detect: Duration,
}

/// Passes everything on, and counts the time that the sink takes.
pub(super) struct TimedSink<'a> {
    sink: &'a mut dyn Sink,
    pub(super) spent: Duration,
}

impl<'a> TimedSink<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Self { sink, spent: Duration::ZERO }
    }
}

impl Sink for TimedSink<'_> {
    fn block(&mut self, scored: &[Vec<f32>]) -> Result<(), Failure> {
        let begun = Instant::now();
        let taken = self.sink.block(scored);
        self.spent += begun.elapsed();
        taken
    }

    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure> {
        let begun = Instant::now();
        let taken = self.sink.segment(segment);
        self.spent += begun.elapsed();
        taken
    }
}
