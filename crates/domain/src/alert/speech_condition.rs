//! The condition on speech: an emotion is predicted for enough of a channel's segments.

use super::evidence::{Evidence, Pattern};
use crate::report::{ChannelReport, Segment};
use crate::{Emotion, Role};

/// A part of the call. Thirds are of the time from the begin of the first segment to the end of the
/// last; a segment belongs to the third that its middle is in. The database's `first_third` and
/// `last_third` are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPart {
    /// The first third.
    FirstThird,
    /// The last third.
    LastThird,
}

/// The least pattern that is enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PatternThreshold {
    /// At least this many consecutive segments.
    InARow(u32),
    /// At least this share of the speech, by seconds, 0 to 1.
    Share(f64),
    /// The mean score rises at least this much from the first third to the last.
    Shift(f64),
}

/// An emotion is predicted for enough of a channel's segments.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechCondition {
    /// The role; `None`: any scored channel.
    pub role: Option<Role>,
    /// Name of the emotion or group, as in the rule.
    pub name: String,
    /// The emotions whose scores are summed.
    pub emotions: Vec<Emotion>,
    /// Least sum for a segment to match (for a shift: least mean of the last third).
    /// `None`: a segment matches when its most likely emotion is one of them.
    pub min_score: Option<f64>,
    /// How much of it is enough.
    pub threshold: PatternThreshold,
    /// Only this part of the call.
    pub part: Option<CallPart>,
}

impl SpeechCondition {
    /// The best evidence among the channels, `None` when it holds for none of them.
    /// Channels that are not scored never match.
    pub(super) fn evaluate(&self, channels: &[ChannelReport]) -> Option<Evidence> {
        let mut best: Option<(f64, Evidence)> = None;
        for channel in channels.iter().filter(|c| c.scored && self.role.is_none_or(|role| role == c.role)) {
            let found = match self.threshold {
                PatternThreshold::InARow(least) => self.in_a_row(channel, least),
                PatternThreshold::Share(least) => self.share(channel, least),
                PatternThreshold::Shift(least) => self.shift(channel, least),
            };
            if let Some((weight, evidence)) = found
                && best.as_ref().is_none_or(|(most, _)| weight > *most)
            {
                best = Some((weight, evidence));
            }
        }
        best.map(|(_, evidence)| evidence)
    }

    fn score_of(&self, segment: &Segment) -> f64 {
        self.emotions.iter().map(|e| f64::from(segment.scores.of(*e))).sum()
    }

    fn matches(&self, segment: &Segment) -> bool {
        match self.min_score {
            // Scores are f32: 0.6 in the rule means the nearest f32.
            Some(least) => self.score_of(segment) + 1e-6 >= least,
            None => self.emotions.contains(&segment.emotion),
        }
    }

    /// The longest run of matching segments, if long enough; of equals, the one with the highest mean.
    fn in_a_row(&self, channel: &ChannelReport, least: u32) -> Option<(f64, Evidence)> {
        let segments = segments_in(&channel.segments, self.part);
        let runs = segments.chunk_by(|a, b| self.matches(a) == self.matches(b));
        let run = runs
            .filter(|run| self.matches(run[0]) && run.len() >= least as usize)
            .map(|run| (run.len() as f64 + self.mean(run), run))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        run.map(|(weight, run)| {
            let pattern = Pattern::InARow { segments: run.len() as u32, score: self.mean(run) as f32 };
            (weight, self.evidence(channel, run[0], run[run.len() - 1], pattern))
        })
    }

    fn share(&self, channel: &ChannelReport, least: f64) -> Option<(f64, Evidence)> {
        let segments = segments_in(&channel.segments, self.part);
        let matching: Vec<&Segment> = segments.iter().copied().filter(|s| self.matches(s)).collect();
        let share = seconds(&matching) / seconds(&segments);
        let strongest = matching.into_iter().reduce(|a, b| if self.score_of(b) > self.score_of(a) { b } else { a })?;
        (share + 1e-9 >= least).then(|| {
            let pattern = Pattern::Share { share: share as f32, score: self.score_of(strongest) as f32 };
            (share, self.evidence(channel, strongest, strongest, pattern))
        })
    }

    fn shift(&self, channel: &ChannelReport, least: f64) -> Option<(f64, Evidence)> {
        let beginning = segments_in(&channel.segments, Some(CallPart::FirstThird));
        let ending = segments_in(&channel.segments, Some(CallPart::LastThird));
        if beginning.is_empty() || ending.is_empty() || channel.segments.len() < 3 {
            return None;
        }
        let (before, after) = (self.mean(&beginning), self.mean(&ending));
        let enough = after - before + 1e-6 >= least && self.min_score.is_none_or(|score| after + 1e-6 >= score);
        enough.then(|| {
            let rise = self.steepest_rise(&channel.segments);
            let pattern = Pattern::Shift { shift: (after - before) as f32, score: after as f32 };
            (after - before, self.evidence(channel, rise, rise, pattern))
        })
    }

    /// The segment that best splits the call into a lower mean before and a higher one after. Not the
    /// database's `turned_at_s`: that is for all negative emotions together and has a least rise.
    fn steepest_rise<'a>(&self, segments: &'a [Segment]) -> &'a Segment {
        let all: Vec<&Segment> = segments.iter().collect();
        let rise = |at: usize| {
            let (before, after) = all.split_at(at);
            (self.mean(after) - self.mean(before)) * (seconds(before) * seconds(after)).sqrt()
        };
        let best = (1..all.len()).map(|at| (rise(at), at)).reduce(|a, b| if b.0 > a.0 { b } else { a });
        all[best.map_or(0, |(_, at)| at)]
    }

    /// Mean score, weighted by seconds. Segments of no length weigh nothing.
    fn mean(&self, segments: &[&Segment]) -> f64 {
        let total = seconds(segments);
        if total <= 0.0 {
            return 0.0;
        }
        segments.iter().map(|s| self.score_of(s) * s.duration_s()).sum::<f64>() / total
    }

    fn evidence(&self, channel: &ChannelReport, first: &Segment, last: &Segment, pattern: Pattern) -> Evidence {
        Evidence {
            channel: channel.channel,
            role: channel.role,
            emotion: self.name.clone(),
            first_segment: first.index,
            last_segment: last.index,
            start_s: first.start_s,
            end_s: last.end_s,
            pattern,
        }
    }
}

fn seconds(segments: &[&Segment]) -> f64 {
    segments.iter().map(|s| s.duration_s()).sum()
}

fn segments_in(segments: &[Segment], part: Option<CallPart>) -> Vec<&Segment> {
    let begin = segments.iter().map(|s| s.start_s).fold(f64::INFINITY, f64::min);
    let end = segments.iter().map(|s| s.end_s).fold(f64::NEG_INFINITY, f64::max);
    let length = (end - begin) / 3.0;
    let middle = |s: &Segment| f64::midpoint(s.start_s, s.end_s);
    let inside = |s: &&Segment| match part {
        None => true,
        Some(CallPart::FirstThird) => middle(s) < begin + length,
        Some(CallPart::LastThird) => middle(s) >= end - length,
    };
    segments.iter().filter(inside).collect()
}
