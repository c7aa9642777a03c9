//! The fixed numbers of the model contract: sample rate, window, hop and frame rate. Every other file takes
//! them from here; `docs/architecture.md` has the contract.

/// Samples a second of everything past the resampler, Hz.
pub const SAMPLE_RATE: u32 = 16_000;

/// Samples of one frame's window (25 ms): the fewest that a model accepts.
pub const MIN_SAMPLES: usize = 400;

/// Samples from one frame to the next (20 ms).
pub const HOP: usize = 320;

/// Frames a second.
pub const FRAME_RATE: u32 = SAMPLE_RATE / HOP as u32;

/// Frames of a segment of `samples` samples.
pub fn frame_count(samples: usize) -> usize {
    if samples < MIN_SAMPLES { 0 } else { (samples - MIN_SAMPLES) / HOP + 1 }
}

/// Seconds of `samples` samples.
pub fn seconds(samples: u64) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_frame_less_than_the_rate_since_windows_overlap() {
        assert_eq!(FRAME_RATE, 50);
        assert_eq!([0, 399, 400, 719, 720, 16_000].map(frame_count), [0, 0, 1, 1, 2, 49]);
    }
}
