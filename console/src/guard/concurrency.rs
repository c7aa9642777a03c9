//! How many requests do expensive work at once: each takes memory or disk for as long as it lasts.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// How long a request waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The right to do such work. Ends when it is dropped, which may be after the end of the request.
pub(crate) type Turn = OwnedSemaphorePermit;

/// One kind of work, and how often it is done at once.
pub(crate) struct ConcurrencyLimit {
    turns: Arc<Semaphore>,
    /// What there is too much of: the beginning of a sentence.
    too_many: &'static str,
}

impl ConcurrencyLimit {
    fn new(at_once: usize, too_many: &'static str) -> Self {
        Self { turns: Arc::new(Semaphore::new(at_once)), too_many }
    }

    /// Waits for a turn, some seconds at most.
    ///
    /// # Errors
    /// 503 `request.busy`, when none is free in time.
    pub(crate) async fn turn(&self) -> Result<Turn, Problem> {
        self.turn_within(LONGEST_WAIT).await
    }

    async fn turn_within(&self, longest: Duration) -> Result<Turn, Problem> {
        let turn = tokio::time::timeout(longest, self.turns.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| self.busy())
    }

    /// A turn that is free at this moment.
    ///
    /// # Errors
    /// 503 `request.busy`, when none is.
    pub(crate) fn turn_now(&self) -> Result<Turn, Problem> {
        self.turns.clone().try_acquire_owned().map_err(|_| self.busy())
    }

    fn busy(&self) -> Problem {
        let detail = format!("{} at this moment. Try again in a few seconds.", self.too_many);
        Problem::unavailable("request.busy", detail)
    }
}

/// The limits of the console, each of one kind of work.
pub(crate) struct ConcurrencyLimits {
    /// Uploads being received.
    pub uploads: ConcurrencyLimit,
    /// JSON bodies in memory; each takes up to twice the size of its text.
    pub json_bodies: ConcurrencyLimit,
    /// Waveforms being drawn: each reads a whole recording, and decodes it.
    pub waveforms: ConcurrencyLimit,
    /// Results with frames in memory: four hours of two channels are 150 MB of JSON, and less than twice as much with what is
    /// read of it.
    pub large_results: ConcurrencyLimit,
    /// Answers with frames being sent: each is up to some 300 MB of the disk, to Gradio of memory, until its reader has it.
    pub large_answers: ConcurrencyLimit,
    /// Archives being made or sent: each takes up to thrice 4 GiB of the disk until it has been sent.
    pub archives: ConcurrencyLimit,
}

impl ConcurrencyLimits {
    /// With as many uploads at once.
    pub(crate) fn new(uploads: u16) -> Self {
        Self {
            uploads: ConcurrencyLimit::new(usize::from(uploads), "Too many uploads are being received"),
            json_bodies: ConcurrencyLimit::new(6, "Too many uploads as JSON are being read"),
            waveforms: ConcurrencyLimit::new(4, "Too many waveforms are being drawn"),
            large_results: ConcurrencyLimit::new(2, "Too many large results are being read"),
            large_answers: ConcurrencyLimit::new(4, "Too many large results are being sent"),
            archives: ConcurrencyLimit::new(8, "Too many archives are being downloaded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_is_waited_for_and_free_again_when_it_is_dropped() {
        let limit = ConcurrencyLimit::new(1, "Too many");
        let first = limit.turn().await.expect("free");
        let refused = limit.turn_now().expect_err("taken");
        assert_eq!((refused.status.as_u16(), refused.code), (503, "request.busy"));
        assert!(refused.detail.starts_with("Too many at this moment."), "{}", refused.detail);
        assert!(limit.turn_within(Duration::from_millis(20)).await.is_err());
        let (second, ()) = tokio::join!(limit.turn(), async { drop(first) });
        drop(second.expect("free again"));
        assert!(limit.turn_now().is_ok());
    }
}
