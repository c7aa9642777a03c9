//! Reports the progress of interactive jobs to consoles. Nothing depends on the arrival of a report.

use adapters::amqp::Lane;
use adapters::postgres::Database;
use adapters::postgres::console::ProgressNote;
use domain::JobId;
use speech::AnalysisControl;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Pause between notes on segments.
const EVERY: Duration = Duration::from_millis(400);

/// Sends notes on one job, if it came by the interactive lane.
pub(super) struct ProgressReporter {
    database: Option<Database>,
    job_id: JobId,
}

/// Ends the notes on segments when dropped.
pub(super) struct Following(Option<AbortHandle>);

impl ProgressReporter {
    /// Of this job. Jobs of the bulk lane send nothing.
    pub(super) fn new(database: &Database, job_id: JobId, lane: Lane) -> Self {
        Self { database: (lane == Lane::Interactive).then(|| database.clone()), job_id }
    }

    /// A stage begins.
    pub(super) fn stage(&self, stage: &'static str) {
        let Some(database) = self.database.clone() else { return };
        let note = ProgressNote { job_id: self.job_id, stage: stage.into(), done: None, total: None };
        tokio::spawn(async move {
            if let Err(failure) = database.note_progress(&note).await {
                tracing::debug!(%failure, "a progress note was not sent");
            }
        });
    }

    /// Sends the counts of an analysis while they grow.
    pub(super) fn follow(&self, control: Arc<AnalysisControl>) -> Following {
        let Some(database) = self.database.clone() else { return Following(None) };
        let job_id = self.job_id;
        let notes = tokio::spawn(async move {
            let mut sent = (0, 0);
            loop {
                tokio::time::sleep(EVERY).await;
                let counts = (control.scored(), control.found());
                if counts == sent {
                    continue;
                }
                sent = counts;
                let note =
                    ProgressNote { job_id, stage: "analyze".into(), done: Some(counts.0), total: Some(counts.1) };
                if let Err(failure) = database.note_progress(&note).await {
                    tracing::debug!(%failure, "a progress note was not sent");
                }
            }
        });
        Following(Some(notes.abort_handle()))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(notes) = &self.0 {
            notes.abort();
        }
    }
}
