//! Where decoded packets are in time: seconds follow the container's timestamps, so that what was muted, not
//! transmitted or lost is silence, and what follows it keeps its time.

/// Seconds by which a packet may be later than the samples before it, at least and at most: timestamps are rounded, and
/// those of live recordings are not regular. Between the two it is [`PACKET_SHARE`] of a packet.
const TOLERANCE_S: (f64, f64) = (0.015, 0.1);
/// The share of a packet that can't be a packet that is missing.
const PACKET_SHARE: f64 = 0.75;
/// Seconds by which timestamps go back where they begin anew.
const RESTART_S: f64 = 1.0;

/// The position in one track, in samples per channel from its first packet on.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Of the next sample.
    position: u64,
    /// Seconds of the timestamps at position 0; `None` where the next packet's position is known without them.
    zero_s: Option<f64>,
    /// Whether the next packet follows no other, and lies where its timestamp says.
    moved: bool,
}

impl Clock {
    /// Position of the next sample.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Passes over this many samples.
    pub(super) fn advance(&mut self, count: usize) {
        self.position += count as u64;
    }

    /// The next packet follows the samples before, whatever its timestamp.
    pub(super) fn restart(&mut self) {
        self.zero_s = None;
    }

    /// The next packet is where its timestamp says: the track was sought.
    pub(super) fn seek(&mut self) {
        self.moved = true;
    }

    /// Seconds of the timestamps at position 0.
    pub(super) fn zero_s(&self) -> f64 {
        self.zero_s.unwrap_or(0.0)
    }

    /// Samples of silence before a packet whose timestamp is `begin_s`, at `rate` Hz.
    ///
    /// `skipped`: samples at its beginning that were decoded and dropped. `longest`: samples of the longest packet.
    pub(super) fn gap(&mut self, begin_s: f64, rate: u32, skipped: u64, longest: u64) -> u64 {
        let rate = f64::from(rate.max(1));
        let position = self.position as f64;
        let zero_s = *self.zero_s.get_or_insert(begin_s - (position / rate));
        let stamped = ((begin_s - zero_s) * rate).round() + skipped as f64;
        if std::mem::take(&mut self.moved) || self.position == 0 {
            self.position = stamped.max(0.0) as u64;
            return 0;
        }
        let gap = stamped - position;
        if gap < -RESTART_S * rate {
            self.zero_s = Some(begin_s - position / rate);
        }
        let tolerance_s = (PACKET_SHARE * longest as f64 / rate).clamp(TOLERANCE_S.0, TOLERANCE_S.1);
        if gap > tolerance_s * rate { gap as u64 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaps before packets of 20 ms at 48 kHz with these timestamps, ms.
    fn gaps(timestamps_ms: &[f64]) -> Vec<u64> {
        let mut clock = Clock::default();
        let gap = |ms: &f64| {
            let gap = clock.gap(ms / 1e3, 48_000, 0, 960);
            clock.advance(gap as usize + 960);
            gap
        };
        timestamps_ms.iter().map(gap).collect()
    }

    #[test]
    fn missing_packets_are_a_gap_and_rounding_is_none() {
        assert_eq!(gaps(&[7.0, 27.0, 46.0, 67.0, 95.0]), [0; 5]);
        assert_eq!(gaps(&[0.0, 20.0, 60.0, 80.0, 1100.0]), [0, 0, 960, 0, 48_000]);
        assert_eq!(gaps(&[0.0, 30.0, 50.0, 80.0]), [0, 0, 0, 960], "what is late adds up");
    }

    #[test]
    fn timestamps_that_begin_anew_are_followed_from_there() {
        assert_eq!(gaps(&[5_000.0, 5_020.0, 0.0, 20.0, 60.0]), [0, 0, 0, 0, 960]);
    }

    #[test]
    fn a_track_that_was_sought_is_where_its_timestamp_says() {
        let mut clock = Clock::default();
        assert_eq!(clock.gap(2.0, 8_000, 0, 160), 0);
        clock.advance(160);
        clock.seek();
        assert_eq!((clock.gap(7.0, 8_000, 0, 160), clock.position()), (0, 40_000));
        clock.advance(160);
        assert_eq!(clock.gap(7.02, 8_000, 0, 160), 0);
    }
}
