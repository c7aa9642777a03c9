//! Pauses between attempts: they double, with jitter.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);

/// The pause after so many failures in a row before this one: between half and the whole of a step
/// that doubles from two seconds up to `longest`.
pub(super) fn after(failures: u32, longest: Duration) -> Duration {
    let step = FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(longest.max(FIRST));
    step.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let longest = Duration::from_secs(60);
        assert!((1.0..=2.0).contains(&after(0, longest).as_secs_f64()));
        assert!((4.0..=8.0).contains(&after(2, longest).as_secs_f64()));
        assert!((30.0..=60.0).contains(&after(u32::MAX, longest).as_secs_f64()));
    }
}
