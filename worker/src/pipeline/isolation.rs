//! Which jobs may run beside each other.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Keeps a job that the broker has delivered before apart from all others: if that job is what killed a worker, no
/// other job loses an attempt with it. First deliveries run side by side.
#[derive(Debug, Default)]
pub(super) struct IsolationLock(RwLock<()>);

/// Held while a job runs.
#[derive(Debug)]
pub(super) enum IsolationGuard<'a> {
    /// Other first deliveries may run meanwhile.
    Shared { _guard: RwLockReadGuard<'a, ()> },
    /// No other job runs meanwhile.
    Alone { _guard: RwLockWriteGuard<'a, ()> },
}

impl IsolationLock {
    /// Waits until a job may run.
    pub(super) async fn acquire(&self, redelivered: bool) -> IsolationGuard<'_> {
        if redelivered {
            IsolationGuard::Alone { _guard: self.0.write().await }
        } else {
            IsolationGuard::Shared { _guard: self.0.read().await }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_redelivered_job_runs_alone() {
        let lock = IsolationLock::default();
        let first = lock.acquire(false).await;
        let second = lock.acquire(false).now_or_never();
        assert!(matches!(second, Some(IsolationGuard::Shared { .. })), "first deliveries run side by side");
        assert!(lock.acquire(true).now_or_never().is_none(), "it waits for the others");
        drop((first, second));
        let alone = lock.acquire(true).await;
        assert!(lock.acquire(false).now_or_never().is_none(), "the others wait for it");
        drop(alone);
    }
}
