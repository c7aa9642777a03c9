//! Which jobs may run beside each other.
//!
//! A job whose attempts began and never ended is a suspect: its worker may have died of it. Suspects run one at a time, so
//! that none loses a second attempt to another one, and others go on beside them. The last attempt that a suspect has runs
//! alone in the bulk lane: if the worker dies again, it is that job's doing. The interactive lane waits for none of this.

use adapters::amqp::Lane;
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Of all slots of a worker.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    bulk: RwLock<()>,
    suspects: Mutex<()>,
}

/// Held while a job runs.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _suspect: Option<MutexGuard<'a, ()>>,
    _bulk: Option<Beside<'a>>,
}

#[derive(Debug)]
enum Beside<'a> {
    /// Other jobs of the bulk lane may run meanwhile.
    Others { _guard: RwLockReadGuard<'a, ()> },
    /// No other job of the bulk lane runs meanwhile.
    None { _guard: RwLockWriteGuard<'a, ()> },
}

/// The place of the one suspect that may run.
#[derive(Debug)]
pub(super) struct SuspectPlace<'a>(MutexGuard<'a, ()>);

impl Isolation {
    /// Waits until a job that is no suspect may run: in the bulk lane, while one runs alone.
    pub(super) async fn turn(&self, lane: Lane) -> Turn<'_> {
        Turn { _suspect: None, _bulk: self.beside(lane, false).await }
    }

    /// The place of a suspect; `None` while another suspect has it.
    pub(super) fn suspect(&self) -> Option<SuspectPlace<'_>> {
        self.suspects.try_lock().ok().map(SuspectPlace)
    }

    /// Waits until a suspect may run; before its `last` attempt, in the bulk lane, until no other job runs.
    pub(super) async fn turn_of<'a>(&'a self, place: SuspectPlace<'a>, lane: Lane, last: bool) -> Turn<'a> {
        Turn { _suspect: Some(place.0), _bulk: self.beside(lane, last).await }
    }

    async fn beside(&self, lane: Lane, alone: bool) -> Option<Beside<'_>> {
        match lane {
            Lane::Interactive => None,
            Lane::Bulk if alone => Some(Beside::None { _guard: self.bulk.write().await }),
            Lane::Bulk => Some(Beside::Others { _guard: self.bulk.read().await }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn suspects_run_one_at_a_time_and_others_beside_them() {
        let isolation = Isolation::default();
        let place = isolation.suspect().expect("free");
        let suspect = isolation.turn_of(place, Lane::Bulk, false).await;
        assert!(isolation.suspect().is_none(), "one at a time");
        let other = isolation.turn(Lane::Bulk).now_or_never().expect("a job beside it does not wait");
        drop(suspect);
        assert!(isolation.suspect().is_some());
        drop(other);
    }

    #[tokio::test]
    async fn the_last_attempt_of_a_suspect_runs_alone_in_the_bulk_lane() {
        let isolation = Isolation::default();
        let first = isolation.turn(Lane::Bulk).await;
        let waits = isolation.turn_of(isolation.suspect().expect("free"), Lane::Bulk, true).now_or_never();
        assert!(waits.is_none(), "it waits for the others");
        drop(first);
        let alone = isolation.turn_of(isolation.suspect().expect("free"), Lane::Bulk, true).await;
        assert!(isolation.turn(Lane::Bulk).now_or_never().is_none(), "the others wait for it");
        assert!(isolation.turn(Lane::Interactive).now_or_never().is_some(), "the interactive lane does not");
        drop(alone);
        assert!(isolation.turn(Lane::Bulk).now_or_never().is_some());
    }
}
