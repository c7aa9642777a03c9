//! How much processor time decoding may take: in proportion to the sound that comes of it and to the file's bytes. A file
//! that makes demuxers and decoders work for nothing ends early, whatever it exploits.

use super::errors;
use crate::settings;
use domain::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Nanoseconds that any file may take: it covers the set-up of a decoder and unusual headers.
const BASE_NS: u64 = 10_000_000_000;
/// Nanoseconds that each byte of the file may take, whatever is in it.
const BYTE_NS: u64 = 100;
/// Sample rate up to which a second of sound has the same allowance, Hz: the work grows with the samples.
const FULL_RATE: f64 = 48_000.0;
/// Steps between two looks at the clock, which is a call of the system.
const STEPS: u64 = 64;

/// The processor time of one file, shared by its tracks. All of them are read on one thread at a time.
#[derive(Debug, Clone)]
pub(in crate::audio) struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    /// Nanoseconds for each nanosecond of sound of one channel.
    load: f64,
    /// Nanoseconds that may be taken so far.
    allowed: AtomicU64,
    /// Nanoseconds that were taken, without the stretch that runs.
    taken: AtomicU64,
    /// The thread's processor time when the stretch that runs began.
    begun: AtomicU64,
    steps: AtomicU64,
    spent: AtomicBool,
}

impl Budget {
    /// For a file of this many bytes.
    pub(in crate::audio) fn new(bytes: u64, limits: &settings::Audio) -> Self {
        Self(Arc::new(Account {
            load: limits.decode_load,
            allowed: AtomicU64::new(BASE_NS.saturating_add(bytes.saturating_mul(BYTE_NS))),
            taken: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            spent: AtomicBool::new(false),
        }))
    }

    /// Runs a stretch of decoding, and counts its processor time.
    ///
    /// # Errors
    /// `read`'s, or `audio.too_costly` when the budget is spent.
    pub(in crate::audio) fn run<T>(&self, read: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let account = &self.0;
        let begun = thread_ns();
        account.begun.store(begun, Ordering::Relaxed);
        let result = read();
        let taken = thread_ns().saturating_sub(begun);
        let taken = account.taken.fetch_add(taken, Ordering::Relaxed).saturating_add(taken);
        account.begun.store(u64::MAX, Ordering::Relaxed);
        let allowed = account.allowed.load(Ordering::Relaxed);
        if account.spent.load(Ordering::Relaxed) || taken > allowed {
            return Err(errors::too_costly(allowed as f64 / 1e9));
        }
        result
    }

    /// Allows more for this many samples of each of `channels` channels at `rate` Hz that were delivered.
    pub(in crate::audio) fn earn(&self, samples: usize, channels: u16, rate: u32) {
        let seconds = samples as f64 / f64::from(rate.max(1)) * f64::from(channels);
        let load = self.0.load * (f64::from(rate) / FULL_RATE).max(1.0);
        self.0.allowed.fetch_add((seconds * load * 1e9) as u64, Ordering::Relaxed);
    }

    /// Whether the stretch that runs has taken all that is allowed: then it should end, with any result. Cheap enough for
    /// every step of a loop.
    pub(in crate::audio) fn is_spent(&self) -> bool {
        let account = &self.0;
        if account.steps.fetch_add(1, Ordering::Relaxed).is_multiple_of(STEPS) {
            let running = thread_ns().saturating_sub(account.begun.load(Ordering::Relaxed));
            let taken = account.taken.load(Ordering::Relaxed).saturating_add(running);
            account.spent.fetch_or(taken > account.allowed.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        account.spent.load(Ordering::Relaxed)
    }

    /// As [`Self::is_spent`], as an error for readers.
    pub(in crate::audio) fn step(&self) -> std::io::Result<()> {
        if self.is_spent() { Err(std::io::Error::other("decoding takes too much processor time")) } else { Ok(()) }
    }
}

/// Processor time of this thread, nanoseconds: unlike the time of day, the same on a busy machine.
#[expect(unsafe_code, reason = "a call of the C library that has no safe wrapper")]
fn thread_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `time` alone. Without such a clock, zero is never more than what is allowed.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::FailureCode;

    fn budget(allowed: u64) -> Budget {
        let budget = Budget::new(0, &crate::Settings::default().audio);
        budget.0.allowed.store(allowed, Ordering::Relaxed);
        budget
    }

    #[test]
    fn work_that_never_ends_is_told_to_and_fails() {
        let budget = budget(20_000_000);
        let mut steps = 0_u64;
        let result = budget.run(|| {
            while !budget.is_spent() {
                steps += 1;
            }
            Ok(())
        });
        assert_eq!(result.expect_err("spent").code, FailureCode::AudioTooCostly);
        assert!(steps > 100, "{steps}");
        assert!(budget.step().is_err() && budget.run(|| Ok(())).is_err(), "what is spent stays so");
    }

    #[test]
    fn sound_allows_more_and_waiting_takes_nothing() {
        let budget = budget(2_000_000);
        budget.earn(48_000, 2, 48_000);
        assert_eq!(budget.0.allowed.load(Ordering::Relaxed), 2_000_000 + (2e9 * budget.0.load) as u64);
        let waited = budget.run(|| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            Ok(())
        });
        assert_eq!(waited, Ok(()));
    }
}
