//! How long the broker lets a delivery be unacknowledged, and how that time is divided.
//!
//! RabbitMQ counts from the delivery, whatever the consumer does meanwhile: waiting for a slot counts like work. Past
//! `consumer_timeout` it closes the channel, and with it every lease of the consumer is lost.

use std::time::Duration;

/// Longest time kept back for settling: publishing a retry or a dead letter, and recording a failure.
const LONGEST_RESERVE: Duration = Duration::from_secs(60);

/// The time of one lease, from its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseTime(Duration);

impl LeaseTime {
    /// The broker's `consumer_timeout`.
    pub(super) fn new(consumer_timeout: Duration) -> Self {
        Self(consumer_timeout)
    }

    fn reserve(self) -> Duration {
        (self.0 / 10).min(LONGEST_RESERVE)
    }

    /// How long after the delivery a job may be worked on.
    pub(super) fn working(self) -> Duration {
        self.0.saturating_sub(self.reserve())
    }

    /// How long after the delivery the lease must be settled or requeued.
    pub(super) fn settling(self) -> Duration {
        self.0.saturating_sub(self.reserve() / 2)
    }

    /// How long after the delivery a job may begin that may take as long as `job`. Where the broker is less patient than
    /// the job's time limit, the job gets at least three quarters of what there is.
    pub(super) fn waiting(self, job: Duration) -> Duration {
        self.working().saturating_sub(job.min(self.working() * 3 / 4))
    }

    /// Takes over the timeout that the broker names when it closes a channel; true when it is shorter than was known.
    pub(super) fn learn(&mut self, closing: &str) -> bool {
        match timeout_named_in(closing) {
            Some(timeout) if timeout < self.0 => {
                self.0 = timeout;
                true
            }
            _ => false,
        }
    }
}

/// The timeout in a sentence like "delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms".
fn timeout_named_in(sentence: &str) -> Option<Duration> {
    let (_, value) = sentence.split_once("Timeout value used: ")?;
    let digits = value.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(Duration::from_millis(digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_job_that_began_in_time_has_all_its_time_before_the_lease_ends() {
        let time = LeaseTime::new(s(1800));
        assert_eq!((time.working(), time.settling(), time.waiting(s(1200))), (s(1740), s(1770), s(540)));
        for (consumer_timeout, job) in [(1800, 1200), (1800, 1799), (20, 10), (20, 1200), (2, 1)] {
            let time = LeaseTime::new(s(consumer_timeout));
            assert!(time.waiting(s(job)) + s(job).min(time.working() * 3 / 4) <= time.working());
            assert!(time.waiting(s(job)) >= time.working() / 4 && time.working() < time.settling());
            assert!(time.settling() < s(consumer_timeout));
        }
    }

    #[test]
    fn a_shorter_timeout_is_learned_from_the_broker() {
        let mut time = LeaseTime::new(s(1800));
        let closing = |ms| {
            format!(
                "consuming: PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. \
                 Timeout value used: {ms} ms. This timeout value can be configured"
            )
        };
        assert!(time.learn(&closing(20_000)));
        assert_eq!(time, LeaseTime::new(s(20)));
        assert!(!time.learn(&closing(1_800_000)), "a longer one says nothing of this worker's leases");
        assert!(!time.learn("the connection to RabbitMQ broke"));
        assert_eq!(time, LeaseTime::new(s(20)));
    }
}
