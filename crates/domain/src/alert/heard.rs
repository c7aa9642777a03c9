//! The condition on speech: somebody is heard as something, for so much of the call.

use super::evidence::{Evidence, What};
use crate::report::{ChannelReport, Segment};
use crate::{Emotion, Role};

/// Thirds are of the time between the first and the last word; a segment belongs where its
/// middle lies. The database's `first_third` and `last_third` mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Third {
    /// How the call begins.
    First,
    /// How it ends.
    Last,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Extent {
    /// At least so many segments one after the other.
    InARow(u32),
    /// At least this share of the speech, by seconds, 0 to 1.
    Share(f64),
    /// The mean rises at least this much from the first third to the last.
    Shift(f64),
}

/// Somebody is heard as something.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Who; `None`: anybody who is scored.
    pub role: Option<Role>,
    /// The emotion's or the group's name, as the rule has it.
    pub name: String,
    /// The emotions whose scores are summed.
    pub emotions: Vec<Emotion>,
    /// Least sum for a segment to count (for a shift: least mean of the last third).
    /// `None`: the segment's likeliest emotion is one of them.
    pub score: Option<f64>,
    /// How much of it.
    pub extent: Extent,
    /// Only this part of the call.
    pub third: Option<Third>,
}

impl Heard {
    /// The best evidence among the channels, `None` when it holds on none of them.
    /// Channels that the operator's policy leaves unscored are never looked at.
    pub(super) fn on(&self, channels: &[ChannelReport]) -> Option<Evidence> {
        let mut best: Option<(f64, Evidence)> = None;
        for channel in channels.iter().filter(|c| c.scored && self.role.is_none_or(|role| role == c.role)) {
            let found = match self.extent {
                Extent::InARow(least) => self.in_a_row(channel, least),
                Extent::Share(least) => self.share(channel, least),
                Extent::Shift(least) => self.shift(channel, least),
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

    fn counts(&self, segment: &Segment) -> bool {
        match self.score {
            // Scores are f32: 0.6 in the rule means the 0.6 that a model can say.
            Some(least) => self.score_of(segment) + 1e-6 >= least,
            None => self.emotions.contains(&segment.emotion),
        }
    }

    /// The longest run that is long enough; of equals, the one with the highest mean.
    fn in_a_row(&self, channel: &ChannelReport, least: u32) -> Option<(f64, Evidence)> {
        let segments = part(&channel.segments, self.third);
        let runs = segments.chunk_by(|a, b| self.counts(a) == self.counts(b));
        let run = runs
            .filter(|run| self.counts(run[0]) && run.len() >= least as usize)
            .map(|run| (run.len() as f64 + self.mean(run), run))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        run.map(|(weight, run)| {
            let what = What::InARow { segments: run.len() as u32, score: self.mean(run) as f32 };
            (weight, self.evidence(channel, run[0], run[run.len() - 1], what))
        })
    }

    fn share(&self, channel: &ChannelReport, least: f64) -> Option<(f64, Evidence)> {
        let segments = part(&channel.segments, self.third);
        let counting: Vec<&Segment> = segments.iter().copied().filter(|s| self.counts(s)).collect();
        let share = seconds(&counting) / seconds(&segments);
        let strongest = counting.into_iter().reduce(|a, b| if self.score_of(b) > self.score_of(a) { b } else { a })?;
        (share + 1e-9 >= least).then(|| {
            let what = What::Share { share: share as f32, score: self.score_of(strongest) as f32 };
            (share, self.evidence(channel, strongest, strongest, what))
        })
    }

    fn shift(&self, channel: &ChannelReport, least: f64) -> Option<(f64, Evidence)> {
        let beginning = part(&channel.segments, Some(Third::First));
        let ending = part(&channel.segments, Some(Third::Last));
        if beginning.is_empty() || ending.is_empty() || channel.segments.len() < 3 {
            return None;
        }
        let (before, after) = (self.mean(&beginning), self.mean(&ending));
        let enough = after - before + 1e-6 >= least && self.score.is_none_or(|score| after + 1e-6 >= score);
        enough.then(|| {
            let turn = self.turn(&channel.segments);
            let what = What::Shift { shift: (after - before) as f32, score: after as f32 };
            (after - before, self.evidence(channel, turn, turn, what))
        })
    }

    /// The segment that best splits the call into less of it before and more of it after: the
    /// database's `turned_at_s`.
    fn turn<'a>(&self, segments: &'a [Segment]) -> &'a Segment {
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

    fn evidence(&self, channel: &ChannelReport, first: &Segment, last: &Segment, what: What) -> Evidence {
        Evidence {
            channel: channel.channel,
            role: channel.role,
            emotion: self.name.clone(),
            first_segment: first.index,
            last_segment: last.index,
            start_s: first.start_s,
            end_s: last.end_s,
            what,
        }
    }
}

fn seconds(segments: &[&Segment]) -> f64 {
    segments.iter().map(|s| s.duration_s()).sum()
}

fn part(segments: &[Segment], third: Option<Third>) -> Vec<&Segment> {
    let begin = segments.iter().map(|s| s.start_s).fold(f64::INFINITY, f64::min);
    let end = segments.iter().map(|s| s.end_s).fold(f64::NEG_INFINITY, f64::max);
    let length = (end - begin) / 3.0;
    let middle = |s: &Segment| f64::midpoint(s.start_s, s.end_s);
    let inside = |s: &&Segment| match third {
        None => true,
        Some(Third::First) => middle(s) < begin + length,
        Some(Third::Last) => middle(s) >= end - length,
    };
    segments.iter().filter(inside).collect()
}
