//! From probabilities of speech to segments. Pure: probabilities and samples in, segments out, with no more than
//! the longest segment in memory.

use crate::framing::SAMPLE_RATE;
use crate::settings;

/// How far below the threshold a probability must fall to end speech, as Silero's authors set it.
const HYSTERESIS: f32 = 0.15;
/// Longest pause inside a segment, seconds, however short the segment: what is scored should be speech.
const MAX_PAUSE_S: f64 = 1.0;
/// Where speech without a pause is cut, as shares of the longest allowed segment: near its end, but with enough
/// left for the next segment to be more than a syllable.
const CUT_WINDOW: (f64, f64) = (0.6, 0.95);
/// Samples over which energy is compared to find the quietest point: a gap between words.
const ENERGY_WINDOW: usize = 640;

/// The samples of one segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SegmentSamples {
    /// First sample, from the recording's beginning.
    pub start: u64,
    /// `end - start` samples.
    pub samples: Vec<f32>,
}

/// The settings; lengths in samples.
#[derive(Debug, Clone, Copy)]
struct Limits {
    threshold: f32,
    /// Silence that ends a span of speech.
    min_silence: u64,
    /// Shorter spans are no speech.
    min_speech: u64,
    /// Kept on either side of speech.
    padding: u64,
    /// Target length of segments.
    target_min: u64,
    target_max: u64,
    /// Longest segment.
    hard_max: u64,
    /// Longest pause inside a segment.
    max_pause: u64,
}

/// Cuts the speech of one track into segments.
#[derive(Debug)]
pub(super) struct Segmenter {
    limits: Limits,
    /// The last samples.
    buffer: Vec<f32>,
    /// Position of `buffer`'s first sample.
    base: u64,
    /// Samples so far.
    position: u64,
    /// Closed spans of speech, start and end, that will be in the next segment.
    spans: Vec<(u64, u64)>,
    /// The span that is still open.
    open: Option<OpenSpan>,
    /// End of the segment before: segments don't overlap.
    previous_end: u64,
    /// Whether there was a segment.
    any_segment: bool,
    /// The longest span below `min_speech`, as long as there was no segment.
    short_speech: Option<SegmentSamples>,
}

#[derive(Debug, Clone, Copy)]
struct OpenSpan {
    start: u64,
    /// Where the silence that may end it began.
    silence_start: Option<u64>,
}

impl Segmenter {
    pub(super) fn new(settings: &settings::Segment) -> Self {
        let samples = |seconds: f64| (seconds * f64::from(SAMPLE_RATE)).round() as u64;
        let limits = Limits {
            threshold: settings.vad_threshold,
            min_silence: samples(settings.min_silence_s),
            min_speech: samples(settings.min_speech_s),
            padding: samples(settings.padding_s),
            target_min: samples(settings.target_min_s),
            target_max: samples(settings.target_max_s),
            hard_max: samples(settings.hard_max_s),
            max_pause: samples(MAX_PAUSE_S.max(settings.min_silence_s)),
        };
        Self {
            limits,
            buffer: Vec::new(),
            base: 0,
            position: 0,
            spans: Vec::new(),
            open: None,
            previous_end: 0,
            any_segment: false,
            short_speech: None,
        }
    }

    /// Takes the next samples with their probability of speech, and appends the segments that are complete to `out`.
    pub(super) fn push(&mut self, probability: f32, samples: &[f32], out: &mut Vec<SegmentSamples>) {
        let start = self.position;
        self.buffer.extend_from_slice(samples);
        self.position += samples.len() as u64;
        if probability >= self.limits.threshold {
            self.open.get_or_insert(OpenSpan { start, silence_start: None }).silence_start = None;
        } else if let Some(open) = &mut self.open
            && probability < self.limits.threshold - HYSTERESIS
        {
            let silence_start = *open.silence_start.get_or_insert(start);
            if self.position - silence_start >= self.limits.min_silence {
                self.close(silence_start);
            }
        }
        self.emit_complete(samples.len() as u64, out);
        self.drop_emitted();
    }

    /// Appends the last segment, after the last samples.
    pub(super) fn finish(&mut self, out: &mut Vec<SegmentSamples>) {
        if let Some(open) = self.open {
            self.close(open.silence_start.unwrap_or(self.position));
        }
        if !self.spans.is_empty() {
            self.emit(self.spans.len() - 1, out);
        } else if !self.any_segment && self.position <= self.limits.target_max {
            // A short recording with any speech at all gives a segment: "no" is an utterance.
            out.extend(self.short_speech.take());
        }
    }

    /// Samples in memory.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.buffer.len() + self.short_speech.as_ref().map_or(0, |segment| segment.samples.len())
    }

    /// Closes the open span at `end`.
    fn close(&mut self, end: u64) {
        let Some(OpenSpan { start, .. }) = self.open.take() else { return };
        let continues = self.any_segment && start == self.previous_end;
        if end.saturating_sub(start) >= self.limits.min_speech || continues && end > start {
            self.spans.push((start, end));
        } else if !self.any_segment
            && end - start > self.short_speech.as_ref().map_or(0, |segment| segment.samples.len() as u64)
        {
            let (from, to) = (self.padded(start), (end + self.limits.padding).min(self.position));
            self.short_speech = Some(SegmentSamples { start: from, samples: self.samples(from, to) });
        }
    }

    /// Appends every segment that is complete; `step` more samples may come before the next call.
    fn emit_complete(&mut self, step: u64, out: &mut Vec<SegmentSamples>) {
        while let Some(begin) = self.first_start() {
            let end = match (self.open, self.spans.last()) {
                (Some(_), _) | (None, None) => self.position,
                (None, Some((_, end))) => *end,
            };
            let full = self.position - self.padded(begin) + step > self.limits.hard_max;
            if end - begin > self.limits.target_max
                && let Some(pause) = self.longest_pause(begin, self.limits.target_min..=self.limits.target_max)
            {
                self.emit(pause, out);
            } else if full && let Some(pause) = self.longest_pause(begin, 0..=u64::MAX) {
                self.emit(pause, out);
            } else if full && self.open.is_some() {
                self.split(begin, out);
            } else if self.open.is_none()
                && (end - begin > self.limits.target_max || self.position - end >= self.limits.max_pause)
            {
                self.emit(self.spans.len() - 1, out);
            } else {
                return;
            }
        }
    }

    fn first_start(&self) -> Option<u64> {
        self.spans.first().map(|(start, _)| *start).or(self.open.map(|open| open.start))
    }

    /// The span before the longest pause, of the pauses that leave a segment of one of these lengths.
    fn longest_pause(&self, begin: u64, lengths: std::ops::RangeInclusive<u64>) -> Option<usize> {
        let pause = |n: usize| self.next_start(n).map(|next| next - self.spans[n].1);
        (0..self.spans.len())
            .filter(|n| lengths.contains(&(self.spans[*n].1 - begin)) && pause(*n).is_some())
            .max_by_key(|n| pause(*n))
    }

    fn next_start(&self, span: usize) -> Option<u64> {
        self.spans.get(span + 1).map(|(start, _)| *start).or(self.open.map(|open| open.start))
    }

    /// Makes a segment of the spans up to `last`.
    fn emit(&mut self, last: usize, out: &mut Vec<SegmentSamples>) {
        let from = self.padded(self.spans[0].0);
        let end = self.spans[last].1;
        let between = self.next_start(last).map_or(u64::MAX, |next| end + (next - end) / 2);
        let to = (end + self.limits.padding).min(self.position).min(between).min(from + self.limits.hard_max);
        self.spans.drain(..=last);
        self.push_segment(from, to, out);
    }

    /// Cuts the open span, which has no pause, at its quietest point.
    fn split(&mut self, begin: u64, out: &mut Vec<SegmentSamples>) {
        let from = self.padded(begin);
        let at = |share: f64| (from - self.base) as usize + (self.limits.hard_max as f64 * share) as usize;
        let window = &self.buffer[at(CUT_WINDOW.0)..at(CUT_WINDOW.1).min(self.buffer.len())];
        let energy = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>();
        let quietest = window
            .windows(ENERGY_WINDOW)
            .step_by(ENERGY_WINDOW / 4)
            .enumerate()
            .min_by(|(_, a), (_, b)| energy(a).total_cmp(&energy(b)))
            .map_or(0, |(n, _)| n * (ENERGY_WINDOW / 4) + ENERGY_WINDOW / 2);
        let to = self.base + (at(CUT_WINDOW.0) + quietest) as u64;
        self.open = Some(OpenSpan {
            start: to,
            silence_start: self.open.and_then(|open| open.silence_start).filter(|start| *start > to),
        });
        self.push_segment(from, to, out);
    }

    fn push_segment(&mut self, from: u64, to: u64, out: &mut Vec<SegmentSamples>) {
        out.push(SegmentSamples { start: from, samples: self.samples(from, to) });
        self.previous_end = to;
        self.any_segment = true;
        self.short_speech = None;
    }

    fn padded(&self, start: u64) -> u64 {
        start.saturating_sub(self.limits.padding).max(self.previous_end)
    }

    fn samples(&self, from: u64, to: u64) -> Vec<f32> {
        self.buffer[(from - self.base) as usize..(to - self.base) as usize].to_vec()
    }

    /// Drops the samples that no later segment can hold.
    fn drop_emitted(&mut self) {
        let needed = self.padded(self.first_start().unwrap_or(self.position));
        let excess = (needed - self.base) as usize;
        // In steps, since each moves all that is kept.
        if excess >= SAMPLE_RATE as usize / 2 {
            self.buffer.drain(..excess);
            self.base = needed;
        }
    }
}

#[cfg(test)]
#[path = "segmenter_tests.rs"]
mod tests;
