//! From "somebody speaks here" to segments of speech. Pure: probabilities and samples in, segments
//! out, with no more than the longest segment held in memory.

use crate::framing::SAMPLE_RATE;
use crate::settings;

/// How far below the threshold speech ends, as Silero's authors set it: voices waver.
const HYSTERESIS: f32 = 0.15;
/// Pauses from here on part two segments however short these are: what is scored should be speech.
const LONGEST_PAUSE_S: f64 = 1.0;
/// Where in the longest allowed segment it is cut when nobody pauses: not far from its end, but
/// with enough left for the next segment to be more than a syllable.
const CUT_WINDOW: (f64, f64) = (0.6, 0.95);
/// Samples over which loudness is compared to find the quietest point: a gap between words.
const QUIET: usize = 640;

/// A segment of speech of one track.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    /// First sample, from the recording's beginning.
    pub start: u64,
    /// `end - start` samples.
    pub samples: Vec<f32>,
}

/// Lengths, in samples.
#[derive(Debug, Clone, Copy)]
struct Rules {
    threshold: f32,
    silence: u64,
    speech: u64,
    padding: u64,
    least: u64,
    most: u64,
    limit: u64,
    pause: u64,
}

/// Cuts one track.
#[derive(Debug)]
pub(super) struct Segmenter {
    rules: Rules,
    /// The last samples, and the number of the first of them.
    buffer: Vec<f32>,
    base: u64,
    /// Samples seen.
    position: u64,
    /// Spans of speech that are to become the next segment.
    spans: Vec<(u64, u64)>,
    /// The span that goes on.
    current: Option<Current>,
    /// End of the last segment: segments don't overlap.
    floor: u64,
    /// Whether there was any segment.
    any: bool,
    /// The longest of the spans too short for speech, as long as there was no segment.
    faint: Option<Segment>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    start: u64,
    /// Where it fell silent, if it did.
    dip: Option<u64>,
}

impl Segmenter {
    pub(super) fn new(settings: &settings::Segment) -> Self {
        let samples = |seconds: f64| (seconds * f64::from(SAMPLE_RATE)).round() as u64;
        let rules = Rules {
            threshold: settings.vad_threshold,
            silence: samples(settings.min_silence_s),
            speech: samples(settings.min_speech_s),
            padding: samples(settings.padding_s),
            least: samples(settings.target_min_s),
            most: samples(settings.target_max_s),
            limit: samples(settings.hard_max_s),
            pause: samples(LONGEST_PAUSE_S.max(settings.min_silence_s)),
        };
        Self {
            rules,
            buffer: Vec::new(),
            base: 0,
            position: 0,
            spans: Vec::new(),
            current: None,
            floor: 0,
            any: false,
            faint: None,
        }
    }

    /// Takes in the next samples with the probability that somebody speaks in them, and appends
    /// the segments that are complete to `out`.
    pub(super) fn push(&mut self, probability: f32, samples: &[f32], out: &mut Vec<Segment>) {
        let start = self.position;
        self.buffer.extend_from_slice(samples);
        self.position += samples.len() as u64;
        if probability >= self.rules.threshold {
            self.current.get_or_insert(Current { start, dip: None }).dip = None;
        } else if let Some(current) = &mut self.current
            && probability < self.rules.threshold - HYSTERESIS
        {
            let dip = *current.dip.get_or_insert(start);
            if self.position - dip >= self.rules.silence {
                self.close(dip);
            }
        }
        self.settle(samples.len() as u64, out);
        self.forget();
    }

    /// Gives the last segment, once there are no more samples.
    pub(super) fn finish(&mut self, out: &mut Vec<Segment>) {
        if let Some(current) = self.current {
            self.close(current.dip.unwrap_or(self.position));
        }
        if !self.spans.is_empty() {
            self.emit(self.spans.len() - 1, out);
        } else if !self.any && self.position <= self.rules.most {
            // A short recording with any speech at all gives a segment: "no" is an answer.
            out.extend(self.faint.take());
        }
    }

    /// Samples held.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.buffer.len() + self.faint.as_ref().map_or(0, |segment| segment.samples.len())
    }

    /// Ends the span that goes on.
    fn close(&mut self, end: u64) {
        let Some(Current { start, .. }) = self.current.take() else { return };
        let continues = self.any && start == self.floor;
        if end.saturating_sub(start) >= self.rules.speech || continues && end > start {
            self.spans.push((start, end));
        } else if !self.any && end - start > self.faint.as_ref().map_or(0, |segment| segment.samples.len() as u64) {
            let (from, to) = (self.padded(start), (end + self.rules.padding).min(self.position));
            self.faint = Some(Segment { start: from, samples: self.samples(from, to) });
        }
    }

    /// Gives every segment that is complete; `step` more samples may come before the next chance.
    fn settle(&mut self, step: u64, out: &mut Vec<Segment>) {
        while let Some(begin) = self.begin() {
            let end = match (self.current, self.spans.last()) {
                (Some(_), _) | (None, None) => self.position,
                (None, Some((_, end))) => *end,
            };
            let full = self.position - self.padded(begin) + step > self.rules.limit;
            if end - begin > self.rules.most
                && let Some(pause) = self.longest_pause(begin, self.rules.least..=self.rules.most)
            {
                self.emit(pause, out);
            } else if full && let Some(pause) = self.longest_pause(begin, 0..=u64::MAX) {
                self.emit(pause, out);
            } else if full && self.current.is_some() {
                self.split(begin, out);
            } else if self.current.is_none()
                && (end - begin > self.rules.most || self.position - end >= self.rules.pause)
            {
                self.emit(self.spans.len() - 1, out);
            } else {
                return;
            }
        }
    }

    fn begin(&self) -> Option<u64> {
        self.spans.first().map(|(start, _)| *start).or(self.current.map(|current| current.start))
    }

    /// The span before the longest pause of those that leave a segment of one of these lengths.
    fn longest_pause(&self, begin: u64, lengths: std::ops::RangeInclusive<u64>) -> Option<usize> {
        let pause = |n: usize| self.next_start(n).map(|next| next - self.spans[n].1);
        (0..self.spans.len())
            .filter(|n| lengths.contains(&(self.spans[*n].1 - begin)) && pause(*n).is_some())
            .max_by_key(|n| pause(*n))
    }

    fn next_start(&self, span: usize) -> Option<u64> {
        self.spans.get(span + 1).map(|(start, _)| *start).or(self.current.map(|current| current.start))
    }

    /// Makes a segment of the spans up to `last`.
    fn emit(&mut self, last: usize, out: &mut Vec<Segment>) {
        let from = self.padded(self.spans[0].0);
        let end = self.spans[last].1;
        let between = self.next_start(last).map_or(u64::MAX, |next| end + (next - end) / 2);
        let to = (end + self.rules.padding).min(self.position).min(between).min(from + self.rules.limit);
        self.spans.drain(..=last);
        self.give(from, to, out);
    }

    /// Cuts a span that has no pause where it is quietest.
    fn split(&mut self, begin: u64, out: &mut Vec<Segment>) {
        let from = self.padded(begin);
        let at = |share: f64| (from - self.base) as usize + (self.rules.limit as f64 * share) as usize;
        let window = &self.buffer[at(CUT_WINDOW.0)..at(CUT_WINDOW.1).min(self.buffer.len())];
        let loudness = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>();
        let quietest = window
            .windows(QUIET)
            .step_by(QUIET / 4)
            .enumerate()
            .min_by(|(_, a), (_, b)| loudness(a).total_cmp(&loudness(b)))
            .map_or(0, |(n, _)| n * (QUIET / 4) + QUIET / 2);
        let to = self.base + (at(CUT_WINDOW.0) + quietest) as u64;
        self.current =
            Some(Current { start: to, dip: self.current.and_then(|current| current.dip).filter(|dip| *dip > to) });
        self.give(from, to, out);
    }

    fn give(&mut self, from: u64, to: u64, out: &mut Vec<Segment>) {
        out.push(Segment { start: from, samples: self.samples(from, to) });
        self.floor = to;
        self.any = true;
        self.faint = None;
    }

    fn padded(&self, start: u64) -> u64 {
        start.saturating_sub(self.rules.padding).max(self.floor)
    }

    fn samples(&self, from: u64, to: u64) -> Vec<f32> {
        self.buffer[(from - self.base) as usize..(to - self.base) as usize].to_vec()
    }

    /// Drops the samples that no segment can hold any more.
    fn forget(&mut self) {
        let needed = self.padded(self.begin().unwrap_or(self.position));
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
