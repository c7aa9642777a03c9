//! Which of the decoded samples belong to the recording: the encoder's delay is removed, and the parts of an edit list
//! follow each other.

use super::container::{Part, TrackTiming};
use std::collections::VecDeque;

/// Seconds ahead from which on a part is sought rather than decoded up to.
const SEEK_FROM_S: u32 = 5;

/// What is still to be delivered of one track. Positions are samples per channel of the decoded track, whatever of it
/// was removed.
#[derive(Debug)]
pub(super) struct Timeline {
    rate: u32,
    parts: VecDeque<Samples>,
    /// Whether the first part has begun: it follows the samples before it, or was sought.
    begun: bool,
}

#[derive(Debug)]
enum Samples {
    /// From `begin` on, up to `end`.
    Decoded { begin: u64, end: u64 },
    /// So many that are not there.
    Silent(u64),
}

impl Default for Timeline {
    fn default() -> Self {
        let all = Samples::Decoded { begin: 0, end: u64::MAX };
        Self { rate: 0, parts: VecDeque::from([all]), begun: false }
    }
}

impl Timeline {
    /// By `timing`, at `rate` Hz, of a stream that begins at this position.
    pub(super) fn new(timing: &TrackTiming, rate: u32, begin: u64) -> Self {
        let samples = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        let part = |part: &Part| match *part {
            Part::Decoded { begin_s, duration_s } => {
                let begin = begin.saturating_add(samples(begin_s));
                let end = duration_s.map_or(u64::MAX, |duration_s| begin.saturating_add(samples(duration_s)));
                Samples::Decoded { begin, end }
            }
            Part::Silent { duration_s } => Samples::Silent(samples(duration_s)),
        };
        let mut parts: VecDeque<Samples> = timing.parts.iter().map(part).collect();
        if parts.is_empty() {
            parts.push_back(Samples::Decoded { begin, end: u64::MAX });
        }
        Self { rate, parts, begun: false }
    }

    /// How many samples of silence come next, at most a second of them, which count as delivered.
    pub(super) fn silence(&mut self) -> usize {
        let Some(Samples::Silent(left)) = self.parts.front_mut() else { return 0 };
        let count = (*left).min(self.rate.into());
        *left -= count;
        if *left == 0 {
            self.next_part();
        }
        count as usize
    }

    /// The position that must be sought, since the part that begins now does not follow `position`.
    pub(super) fn seek_target(&mut self, position: u64) -> Option<u64> {
        let Some(Samples::Decoded { begin, .. }) = self.parts.front() else { return None };
        let ahead = position.saturating_add(u64::from(SEEK_FROM_S * self.rate));
        let is_next = !std::mem::replace(&mut self.begun, true);
        (is_next && (*begin < position || *begin > ahead)).then_some(*begin)
    }

    /// Leaves in `block`, samples from `position` on, what belongs to the recording, with every sample a number in
    /// [-1, 1].
    pub(super) fn apply(&mut self, block: &mut Vec<Vec<f32>>, position: u64) {
        let count = block.first().map_or(0, Vec::len) as u64;
        let (mut skip, mut stop) = (count, count);
        if let Some(Samples::Decoded { begin, end }) = self.parts.front() {
            skip = begin.saturating_sub(position).min(count);
            let left = end.saturating_sub(position);
            // ffmpeg, with which sample counts must agree, delivers all of the packet in which the last part ends.
            let whole = self.parts.len() == 1 && skip < left;
            stop = if whole { count } else { left.clamp(skip, count) };
            if left <= count {
                self.next_part();
            }
        }
        for samples in &mut *block {
            samples.truncate(stop as usize);
            samples.drain(..skip as usize);
            for s in samples {
                *s = if s.is_finite() { s.clamp(-1.0, 1.0) } else { 0.0 };
            }
        }
    }

    fn next_part(&mut self) {
        self.parts.pop_front();
        self.begun = false;
    }

    /// Whether all samples of the recording were delivered.
    pub(super) fn is_done(&self) -> bool {
        self.parts.is_empty()
    }

    /// Ends the part of decoded samples that was to come, since the track has ended.
    pub(super) fn end_part(&mut self) {
        if let Some(Samples::Decoded { .. }) = self.parts.front() {
            self.next_part();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(mut timeline: Timeline, packets: &[&[f32]]) -> Vec<f32> {
        let (mut delivered, mut position) = (Vec::new(), 0);
        for packet in packets {
            delivered.extend(vec![0.0; timeline.silence()]);
            let mut block = vec![packet.to_vec()];
            timeline.apply(&mut block, position);
            position += packet.len() as u64;
            delivered.extend(block.first().cloned().unwrap_or_default());
        }
        delivered
    }

    fn parts(parts: Vec<Samples>) -> Timeline {
        Timeline { rate: 1_000, parts: parts.into(), begun: false }
    }

    #[test]
    fn delay_is_removed_across_packets() {
        let timeline = parts(vec![Samples::Decoded { begin: 3, end: u64::MAX }]);
        assert_eq!(packets(timeline, &[&[0.1, 0.2], &[0.3, 0.4], &[0.5, 0.6]]), [0.4, 0.5, 0.6]);
    }

    #[test]
    fn the_packet_in_which_the_last_part_ends_is_the_last() {
        let timeline = parts(vec![Samples::Decoded { begin: 0, end: 3 }]);
        assert_eq!(packets(timeline, &[&[0.1, 0.2], &[0.3, 0.4], &[0.5, 0.6]]), [0.1, 0.2, 0.3, 0.4]);
    }

    #[test]
    fn a_part_that_others_follow_ends_where_it_says() {
        let list = vec![
            Samples::Decoded { begin: 1, end: 3 },
            Samples::Silent(2),
            Samples::Decoded { begin: 5, end: u64::MAX },
        ];
        let timeline = parts(list);
        assert_eq!(packets(timeline, &[&[0.1, 0.2], &[0.3, 0.4], &[0.5, 0.6], &[0.7]]), [0.2, 0.3, 0.0, 0.0, 0.6, 0.7]);
    }

    #[test]
    fn a_part_that_does_not_follow_must_be_sought() {
        let timeline = |begin| parts(vec![Samples::Decoded { begin, end: u64::MAX }]);
        assert_eq!(timeline(3_000).seek_target(2_000), None);
        assert_eq!(timeline(1_999).seek_target(2_000), Some(1_999));
        let mut far = timeline(9_000);
        assert_eq!((far.seek_target(2_000), far.seek_target(2_000)), (Some(9_000), None));
    }

    #[test]
    fn samples_that_are_not_numbers_become_silence() {
        assert_eq!(packets(Timeline::default(), &[&[f32::NAN, 2.0, -0.5]]), [0.0, 1.0, -0.5]);
    }
}
