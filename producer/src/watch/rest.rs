//! How long something has been unchanged: by the time of its last change or, where that is missing or wrong, since this
//! watcher first saw it.

use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is waited for is forgotten after this time without a change: nothing waits as long.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(8 * 24);

/// When things that wait were first seen, by a hash of name and properties.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<HashMap<u64, Instant>>);

impl Rest {
    /// Whether it has been unchanged for this long; otherwise, how long it has to wait.
    pub(super) fn wait(&self, mark: u64, modified: Option<DateTime<Utc>>, needed: Duration) -> Option<Duration> {
        // Of a time in the future nothing is known: the clocks differ.
        let by_time = modified.and_then(|at| (Utc::now() - at).to_std().ok()).unwrap_or_default();
        if by_time >= needed {
            return None;
        }
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let by_watching = first.entry(mark).or_insert_with(Instant::now).elapsed();
        needed.checked_sub(by_time.max(by_watching)).filter(|left| !left.is_zero())
    }

    /// It waits no more.
    pub(super) fn forget(&self, mark: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&mark);
    }

    /// Drops what has vanished while it waited.
    pub(super) fn sweep(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, first| first.elapsed() < FORGOTTEN_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_rests_and_what_is_new_or_of_the_future_begins_to() {
        let (rest, needed) = (Rest::default(), Duration::from_millis(50));
        assert_eq!(rest.wait(1, Some(Utc::now() - Duration::from_mins(1)), Duration::from_secs(30)), None);
        for modified in [None, Some(Utc::now() + Duration::from_mins(1)), Some(Utc::now() + Duration::from_hours(3))] {
            rest.forget(2);
            assert!(rest.wait(2, modified, needed).is_some(), "{modified:?}");
            std::thread::sleep(needed);
            assert_eq!(rest.wait(2, modified, needed), None, "{modified:?}");
        }
        // What was written just now rests by its time, too.
        assert!(rest.wait(3, Some(Utc::now()), Duration::from_mins(1)).is_some());
    }
}
