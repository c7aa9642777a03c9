//! Trying again: growing pauses with jitter, and one policy for waiting on a service.
//!
//! *Unreachable* (the network, a restart, tables that are not migrated yet) is waited for, and the reason is reported.
//! *Refused* (a wrong password, no privilege, a wrong setting) ends at once: waiting can't help, and the failure
//! carries the advice. [`Failure::is_unreachable`] draws the line.
#![expect(clippy::print_stderr, reason = "Report::Stderr")]

use domain::Failure;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// First pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two attempts of [`retry_while`].
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An unchanged reason is reported again after this time.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Pauses that double up to a longest one, with jitter, so that a fleet does not come back to a restarted service in
/// step.
#[derive(Debug, Clone)]
pub struct Backoff {
    step: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses from 0.2 s up to `longest`.
    pub fn new(longest: Duration) -> Self {
        Self::starting_at(FIRST_PAUSE, longest)
    }

    /// Pauses from `first` up to `longest`.
    pub fn starting_at(first: Duration, longest: Duration) -> Self {
        Self { step: first, first, longest: longest.max(first) }
    }

    /// The pause after `failures` earlier ones, for callers that keep the count elsewhere, such as in the database.
    pub fn nth_pause(first: Duration, longest: Duration, failures: u32) -> Duration {
        let step = first.saturating_mul(2_u32.saturating_pow(failures)).min(longest.max(first));
        Self { step, first, longest }.pause()
    }

    /// The next pause: between half and the whole of the present step.
    pub fn pause(&mut self) -> Duration {
        let step = self.step;
        self.step = step.saturating_mul(2).min(self.longest);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Starts again with the shortest pause, after a success.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

/// Where [`retry_while`] reports what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    /// To the log, for services.
    Log,
    /// To standard error in plain words, for commands that a person started.
    Stderr,
}

/// How long a service that does not answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `None`: without end.
    limit: Option<Duration>,
    report: Report,
}

impl RetryPolicy {
    /// Waits without end.
    pub const ENDLESS: Self = Self { limit: None, report: Report::Log };
    /// Does not wait: the first failure is the answer.
    pub const NEVER: Self = Self::at_most(Duration::ZERO);

    /// Waits for at most this time.
    pub const fn at_most(limit: Duration) -> Self {
        Self { limit: Some(limit), report: Report::Log }
    }

    /// Reports to standard error instead of the log.
    #[must_use]
    pub const fn on_stderr(self) -> Self {
        Self { report: Report::Stderr, ..self }
    }

    fn allows(self, waited: Duration) -> bool {
        self.limit.is_none_or(|limit| waited < limit)
    }
}

/// Calls `attempt` until it succeeds, while `service` is unreachable and the policy allows it.
///
/// # Errors
/// The last failure: the service refuses, or the policy's time is over.
pub async fn retry_while<T, F>(policy: RetryPolicy, service: &str, attempt: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    retry_while_unless(&CancellationToken::new(), policy, service, attempt).await
}

/// The same, but `stop` ends the waiting. An attempt that has begun is not cut short.
///
/// # Errors
/// The last failure: the service refuses, the policy's time is over, or `stop` was cancelled.
pub async fn retry_while_unless<T, F>(
    stop: &CancellationToken,
    policy: RetryPolicy,
    service: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let begun = Instant::now();
    let mut backoff = Backoff::new(LONGEST_PAUSE);
    let mut reporter = Reporter { report: policy.report, service, last: None };
    loop {
        let failure = match attempt().await {
            Ok(value) => {
                reporter.answered();
                return Ok(value);
            }
            Err(failure) if failure.is_unreachable() && policy.allows(begun.elapsed()) => failure,
            Err(failure) => return Err(failure),
        };
        reporter.waiting(&failure);
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            () = stop.cancelled() => return Err(failure),
        }
    }
}

/// Reports each reason once, and again now and then while it lasts.
struct Reporter<'a> {
    report: Report,
    service: &'a str,
    last: Option<(Failure, Instant)>,
}

impl Reporter<'_> {
    fn waiting(&mut self, failure: &Failure) {
        if self.last.as_ref().is_some_and(|(last, at)| last == failure && at.elapsed() < REPORT_EVERY) {
            return;
        }
        let (service, advice) = (self.service, failure.code.advice());
        match self.report {
            Report::Log => tracing::warn!(service, %failure, advice, "waiting for a service"),
            Report::Stderr => eprintln!("waiting for {service}: {}", failure.message),
        }
        self.last = Some((failure.clone(), Instant::now()));
    }

    fn answered(&self) {
        if self.last.is_none() {
            return;
        }
        let service = self.service;
        match self.report {
            Report::Log => tracing::info!(service, "the service answers"),
            Report::Stderr => eprintln!("{service} answers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::FailureCode;

    async fn attempts(policy: RetryPolicy, failures: &[FailureCode]) -> (usize, Result<(), FailureCode>) {
        let mut calls = 0;
        let outcome = retry_while(policy, "a service", || {
            let failure = failures.get(calls).map(|code| Failure::new(*code, "away"));
            calls += 1;
            async move { failure.map_or(Ok(()), Err) }
        });
        let outcome = outcome.await.map_err(|failure| failure.code);
        (calls, outcome)
    }

    #[test]
    fn pauses_grow_to_the_longest_and_no_further() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST_PAUSE);
        assert!(pauses.iter().all(|p| *p >= FIRST_PAUSE / 2 && *p <= Duration::from_secs(1)));
        assert!(pauses[9] >= Duration::from_millis(500));
        backoff.reset();
        assert!(backoff.pause() <= FIRST_PAUSE);
    }

    #[test]
    fn the_nth_pause_follows_from_the_count_of_failures() {
        let nth =
            |failures| Backoff::nth_pause(Duration::from_secs(2), Duration::from_secs(60), failures).as_secs_f64();
        assert!((1.0..=2.0).contains(&nth(0)));
        assert!((4.0..=8.0).contains(&nth(2)));
        assert!((30.0..=60.0).contains(&nth(u32::MAX)));
    }

    #[tokio::test]
    async fn unreachable_services_are_waited_for() {
        let away = [FailureCode::BrokerUnreachable, FailureCode::DatabaseNotMigrated, FailureCode::StoreUnreachable];
        assert_eq!(attempts(RetryPolicy::ENDLESS, &away).await, (4, Ok(())));
        assert_eq!(attempts(RetryPolicy::NEVER, &away).await, (1, Err(FailureCode::BrokerUnreachable)));
    }

    #[tokio::test]
    async fn refusals_and_wrong_settings_end_at_once() {
        use FailureCode::{BrokerRefused, ConfigInvalid, DatabaseRefused, StoreDenied};
        for code in [BrokerRefused, ConfigInvalid, DatabaseRefused, StoreDenied] {
            assert_eq!(attempts(RetryPolicy::ENDLESS, &[code]).await, (1, Err(code)));
        }
    }

    #[tokio::test]
    async fn a_stop_ends_the_waiting_with_the_last_failure() {
        let stop = CancellationToken::new();
        let away = || async { Err::<(), _>(Failure::new(FailureCode::StoreUnreachable, "away")) };
        let waiting = retry_while_unless(&stop, RetryPolicy::ENDLESS, "S3", away);
        let stopping = async { stop.cancel() };
        let (outcome, ()) = tokio::join!(waiting, stopping);
        assert_eq!(outcome.expect_err("stopped").code, FailureCode::StoreUnreachable);
    }
}
