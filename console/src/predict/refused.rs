//! Files of uploads of several that were not taken, for the page of their batch. In memory for an hour: their names may be
//! personal data, and no row has them.

use domain::BatchId;
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::upload::RefusedFile;

/// How long they are kept.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Batches of which they are kept.
const BATCHES: NonZeroUsize = NonZeroUsize::new(500).expect("not zero");

/// What is kept of a batch.
struct Kept {
    since: Instant,
    /// Who may see it.
    team: Option<String>,
    files: Vec<RefusedFile>,
}

/// The files refused, by batch.
pub(crate) struct Refusals(Mutex<LruCache<BatchId, Kept>>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(BATCHES)))
    }
}

impl Refusals {
    /// Keeps the files that were not taken into a batch, whose recordings belong to this team.
    pub(crate) fn put(&self, batch: BatchId, team: Option<String>, files: Vec<RefusedFile>) {
        if !files.is_empty() {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .put(batch, Kept { since: Instant::now(), team, files });
        }
    }

    /// Those of a batch that a caller of this team may see (`None`: of all teams).
    pub(crate) fn of(&self, batch: BatchId, team: Option<&str>) -> Vec<RefusedFile> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = kept.get(&batch) else { return Vec::new() };
        if found.since.elapsed() > PATIENCE {
            kept.pop(&batch);
            return Vec::new();
        }
        if team.is_some() && team != found.team.as_deref() { Vec::new() } else { found.files.clone() }
    }
}
