//! Pauses between attempts to reconnect: they double, with jitter, so that a fleet does not
//! come back to a restarted broker in step.

use std::time::Duration;

/// Growing pauses.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

const FIRST: Duration = Duration::from_millis(200);

impl Backoff {
    /// Pauses from 0.2 s up to `longest`.
    pub fn new(longest: Duration) -> Self {
        Self { next: FIRST, longest: longest.max(FIRST) }
    }

    /// The next pause: between half and the whole of the present step.
    pub fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.longest);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Begins again with the shortest pause: the connection held.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_no_further() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST);
        assert!(pauses.iter().all(|p| *p >= FIRST / 2 && *p <= Duration::from_secs(1)));
        assert!(pauses[9] >= Duration::from_millis(500));
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
