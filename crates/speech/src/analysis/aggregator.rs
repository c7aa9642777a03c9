//! Aggregates the predictions of a recording's segments: means weighted by seconds, per track and over all.

use domain::channel::Track;
use domain::report::{ChannelReport, FrameSeries, Segment, SegmentFrames};
use domain::{Emotion, Failure, FailureCode, Scores};

use crate::framing::{FRAME_RATE, seconds};
use crate::model::Prediction;

/// Which segment a prediction is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentSpan {
    pub(super) track: usize,
    pub(super) index: u32,
    pub(super) start_sample: u64,
    pub(super) end_sample: u64,
}

/// The sums so far.
#[derive(Debug, Default)]
pub(super) struct ScoreAggregator {
    segments: Vec<(usize, Segment)>,
    frames: Vec<(usize, SegmentFrames)>,
    embedding: Vec<f64>,
    weight: f64,
}

/// The result of aggregating.
#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) channels: Vec<ChannelReport>,
    /// `None` without speech.
    pub(super) scores: Option<Scores>,
    /// Shape `[D]`: mean over all scored speech, by seconds. `None` without speech.
    pub(super) embedding: Option<Vec<f32>>,
    pub(super) frames: Option<FrameSeries>,
}

impl ScoreAggregator {
    /// Adds a segment. `frames`: keep its frames' scores as well.
    ///
    /// # Errors
    /// `model.failed` when the logits are not finite.
    pub(super) fn add(&mut self, span: SegmentSpan, prediction: &Prediction, frames: bool) -> Result<(), Failure> {
        let to_scores = |logits: &[f32; Emotion::COUNT]| {
            Scores::from_logits(logits).map_err(|e| Failure::new(FailureCode::ModelFailed, e.to_string()))
        };
        let scores = to_scores(&prediction.logits)?;
        let (emotion, confidence) = scores.top();
        let (start_s, end_s) = (seconds(span.start_sample), seconds(span.end_sample));
        let weight = end_s - start_s;
        self.embedding.resize(prediction.embedding.len(), 0.0);
        for (sum, value) in self.embedding.iter_mut().zip(&prediction.embedding) {
            *sum += f64::from(*value) * weight;
        }
        self.weight += weight;
        self.segments.push((span.track, Segment { index: span.index, start_s, end_s, emotion, confidence, scores }));
        if frames {
            let scores = prediction.frame_logits.iter().map(|l| to_scores(l).map(|s| *s.as_array()));
            let scores = scores.collect::<Result<_, _>>()?;
            // The channel is set in `total`, when the tracks are known.
            self.frames.push((span.track, SegmentFrames { channel: None, index: span.index, start_s, scores }));
        }
        Ok(())
    }

    /// The totals over `tracks`, with the level of each in dB of full scale.
    pub(super) fn total(self, tracks: &[Track], levels: &[Option<f32>], keep_frames: bool) -> Aggregate {
        let channels: Vec<_> =
            tracks.iter().zip(levels).enumerate().map(|(i, (track, level))| self.channel(i, track, *level)).collect();
        let all = self.segments.iter().map(|(_, s)| (s.scores, s.duration_s()));
        let scores = Scores::weighted_mean(all);
        let mean = || self.embedding.iter().map(|sum| (sum / self.weight) as f32).collect();
        let embedding = scores.map(|_| mean());
        let frames = keep_frames.then(|| {
            let mut frames = self.frames;
            frames.sort_by_key(|(track, f)| (*track, f.index));
            let segments =
                frames.into_iter().map(|(track, f)| SegmentFrames { channel: tracks[track].channel, ..f }).collect();
            FrameSeries { rate: FRAME_RATE, labels: Emotion::ALL, segments }
        });
        Aggregate { channels, scores, embedding, frames }
    }

    fn channel(&self, index: usize, track: &Track, level_dbfs: Option<f32>) -> ChannelReport {
        let mut segments: Vec<Segment> =
            self.segments.iter().filter(|(t, _)| *t == index).map(|(_, s)| s.clone()).collect();
        segments.sort_by_key(|s| s.index);
        ChannelReport {
            channel: track.channel,
            role: track.role,
            scored: track.scored,
            level_dbfs,
            // Not `sum`, which is -0.0 of nothing.
            speech_s: segments.iter().fold(0.0, |total, segment| total + segment.duration_s()),
            scores: Scores::weighted_mean(segments.iter().map(|s| (s.scores, s.duration_s()))),
            segments,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::SAMPLE_RATE;
    use domain::Role;
    use std::time::Duration;

    fn prediction(angry: f32, value: f32) -> Prediction {
        let mut logits = [0.0; 9];
        logits[0] = angry;
        Prediction {
            logits,
            embedding: vec![value],
            frames: vec![],
            frame_logits: vec![logits],
            model_time: Duration::ZERO,
        }
    }

    fn span(track: usize, index: u32, start_s: u64, end_s: u64) -> SegmentSpan {
        SegmentSpan {
            track,
            index,
            start_sample: start_s * u64::from(SAMPLE_RATE),
            end_sample: end_s * u64::from(SAMPLE_RATE),
        }
    }

    #[test]
    fn totals_are_weighted_by_seconds_and_separate_per_track() {
        let tracks = [
            Track { channel: Some(0), role: Role::Agent, scored: false },
            Track { channel: Some(1), role: Role::Customer, scored: true },
        ];
        let mut aggregator = ScoreAggregator::default();
        aggregator.add(span(1, 1, 10, 11), &prediction(50.0, 4.0), true).expect("finite");
        aggregator.add(span(1, 0, 0, 3), &prediction(0.0, 0.0), true).expect("finite");
        let total = aggregator.total(&tracks, &[None, Some(-20.0)], true);
        assert_eq!(total.embedding.as_deref(), Some([1.0].as_slice()));
        assert!((total.scores.expect("there was speech").of(Emotion::Angry) - (0.25 + 0.75 / 9.0)).abs() < 1e-5);
        assert!(total.channels[0].segments.is_empty() && total.channels[0].scores.is_none());
        assert!(total.channels[0].speech_s.is_sign_positive(), "no speech is 0.0, not -0.0");
        assert_eq!(total.channels[1].segments.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 1]);
        assert!((total.channels[1].speech_s - 4.0).abs() < 1e-9);
        let frames = total.frames.expect("frames are kept");
        assert_eq!(frames.segments[0].channel, Some(1));
        assert_eq!(frames.segments[0].index, 0);
    }

    #[test]
    fn without_a_segment_there_are_channels_and_no_scores() {
        let track = Track { channel: Some(0), role: Role::Customer, scored: true };
        let total = ScoreAggregator::default().total(&[track], &[None], true);
        assert_eq!((total.scores, total.embedding), (None, None));
        assert_eq!((total.channels.len(), total.channels[0].speech_s, total.channels[0].scores), (1, 0.0, None));
        assert!(total.frames.expect("asked for").segments.is_empty());
    }
}
