//! Limits and cancellation of a running analysis, and the progress that it reports.

use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::sync::CancellationToken;

/// Stops an analysis, bounds it, and counts its segments. Shared with the thread that it runs on.
#[derive(Debug, Default)]
pub struct AnalysisControl {
    /// Ends the analysis with `job.cancelled`.
    pub cancel: CancellationToken,
    /// Longest recording, seconds, if shorter than `audio.max_seconds`.
    pub max_seconds: Option<u32>,
    /// Whether a person waits: its segments are predicted before those of other analyses.
    pub interactive: bool,
    found: AtomicU32,
    scored: AtomicU32,
}

impl AnalysisControl {
    /// With this token, limit and priority; nothing counted yet.
    pub fn new(cancel: CancellationToken, max_seconds: Option<u32>, interactive: bool) -> Self {
        Self { cancel, max_seconds, interactive, ..Self::default() }
    }

    /// Segments found so far. More may follow.
    pub fn found(&self) -> u32 {
        self.found.load(Ordering::Relaxed)
    }

    /// Segments scored so far.
    pub fn scored(&self) -> u32 {
        self.scored.load(Ordering::Relaxed)
    }

    pub(super) fn count_found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_scored(&self) {
        self.scored.fetch_add(1, Ordering::Relaxed);
    }
}
