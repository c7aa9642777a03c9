//! Reports the progress of interactive jobs to consoles. Nothing depends on the arrival of a report.

use adapters::amqp::Lane;
use adapters::postgres::Database;
use adapters::postgres::console::ProgressNote;
use domain::JobId;
use speech::AnalysisControl;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// Pause between notes on segments.
const EVERY: Duration = Duration::from_millis(400);

/// Sends notes on one job, if it came by the interactive lane.
pub(super) struct ProgressReporter {
    database: Option<Database>,
    job_id: JobId,
}

impl ProgressReporter {
    /// Of this job. Jobs of the bulk lane send nothing.
    pub(super) fn new(database: &Database, job_id: JobId, lane: Lane) -> Self {
        Self { database: (lane == Lane::Interactive).then(|| database.clone()), job_id }
    }

    /// Whether a person follows the job.
    pub(super) fn interactive(&self) -> bool {
        self.database.is_some()
    }

    /// A stage begins.
    pub(super) fn stage(&self, stage: &'static str) {
        let Some(database) = self.database.clone() else { return };
        let note = ProgressNote { job_id: self.job_id, stage: stage.into(), done: None, total: None };
        tokio::spawn(async move { send(&database, &note).await });
    }

    /// Sends the counts of an analysis while they grow, until the handle is dropped.
    pub(super) fn follow(&self, control: Arc<AnalysisControl>) -> Option<AbortOnDropHandle<()>> {
        let (database, job_id) = (self.database.clone()?, self.job_id);
        let notes = tokio::spawn(async move {
            let mut sent = (0, 0);
            loop {
                tokio::time::sleep(EVERY).await;
                let counts = (control.scored(), control.found());
                if counts == sent {
                    continue;
                }
                sent = counts;
                let (done, total) = (Some(counts.0), Some(counts.1));
                send(&database, &ProgressNote { job_id, stage: "analyze".into(), done, total }).await;
            }
        });
        Some(AbortOnDropHandle::new(notes))
    }
}

async fn send(database: &Database, note: &ProgressNote) {
    if let Err(error) = database.note_progress(note).await {
        tracing::debug!(%error, "a progress note was not sent");
    }
}
