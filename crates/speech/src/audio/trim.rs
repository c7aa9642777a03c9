//! Removes the encoder's delay and padding.

use super::container::TrackTiming;

/// What is still to be removed from one file, in samples per channel. By default nothing.
#[derive(Debug)]
pub(super) struct Trim {
    /// Delay at the beginning.
    skip: u64,
    /// Samples to deliver until the packet that is the last.
    keep: u64,
    /// Padding at the end of the last packet.
    padding: usize,
    /// With padding, each packet is held back until the next one shows that it is not the last.
    held: Vec<Vec<f32>>,
}

impl Default for Trim {
    fn default() -> Self {
        Self { skip: 0, keep: u64::MAX, padding: 0, held: Vec::new() }
    }
}

impl Trim {
    /// By `timing`, at `rate` Hz.
    pub(super) fn new(timing: &TrackTiming, rate: u32) -> Self {
        let samples = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        Self {
            skip: samples(timing.delay_s),
            keep: timing.keep_s.map_or(u64::MAX, samples),
            padding: samples(timing.padding_s) as usize,
            held: Vec::new(),
        }
    }

    /// Leaves in `block`, a packet's samples, what belongs to the recording, with every sample a number in [-1, 1].
    /// With padding that is the packet before.
    pub(super) fn apply(&mut self, block: &mut Vec<Vec<f32>>) {
        let count = block.first().map_or(0, Vec::len);
        let skip = self.skip.min(count as u64) as usize;
        self.skip -= skip as u64;
        // ffmpeg, with which sample counts must agree, delivers all of the packet in which an edit ends.
        let take = if self.keep == 0 { 0 } else { count - skip };
        self.keep = self.keep.saturating_sub(take as u64);
        for samples in &mut *block {
            samples.truncate(skip + take);
            samples.drain(..skip);
            for s in samples {
                *s = if s.is_finite() { s.clamp(-1.0, 1.0) } else { 0.0 };
            }
        }
        if self.padding > 0 && take > 0 {
            std::mem::swap(block, &mut self.held);
        }
    }

    /// Whether all samples of the recording were delivered.
    pub(super) fn is_done(&self) -> bool {
        self.keep == 0
    }

    /// The packet held back, without its padding, once it is known to be the last.
    pub(super) fn last(&mut self) -> Option<Vec<Vec<f32>>> {
        let mut last = std::mem::take(&mut self.held);
        for samples in &mut last {
            samples.truncate(samples.len().saturating_sub(self.padding));
        }
        (!last.is_empty()).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(mut trim: Trim, packets: &[&[f32]]) -> Vec<f32> {
        let mut delivered = Vec::new();
        for packet in packets {
            let mut block = vec![packet.to_vec()];
            trim.apply(&mut block);
            delivered.extend(block.first().cloned().unwrap_or_default());
        }
        delivered.extend(trim.last().unwrap_or_default().into_iter().flatten());
        assert!(trim.last().is_none());
        delivered
    }

    #[test]
    fn delay_and_padding_are_removed_across_packets() {
        let trim = Trim { skip: 3, padding: 1, ..Trim::default() };
        assert_eq!(packets(trim, &[&[0.1, 0.2], &[0.3, 0.4], &[0.5, 0.6]]), [0.4, 0.5]);
    }

    #[test]
    fn the_packet_in_which_an_edit_ends_is_the_last() {
        let trim = Trim { keep: 3, ..Trim::default() };
        assert_eq!(packets(trim, &[&[0.1, 0.2], &[0.3, 0.4], &[0.5, 0.6]]), [0.1, 0.2, 0.3, 0.4]);
    }

    #[test]
    fn samples_that_are_not_numbers_become_silence() {
        assert_eq!(packets(Trim::default(), &[&[f32::NAN, 2.0, -0.5]]), [0.0, 1.0, -0.5]);
    }
}
