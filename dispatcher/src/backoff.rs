//! Exponential backoff, with jitter.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);

/// The pause after this many consecutive failures before this one: between half and the whole of a step
/// that doubles from two seconds up to `max`.
pub(super) fn pause(failures: u32, max: Duration) -> Duration {
    let step = FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(max.max(FIRST));
    step.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let max = Duration::from_secs(60);
        assert!((1.0..=2.0).contains(&pause(0, max).as_secs_f64()));
        assert!((4.0..=8.0).contains(&pause(2, max).as_secs_f64()));
        assert!((30.0..=60.0).contains(&pause(u32::MAX, max).as_secs_f64()));
    }
}
