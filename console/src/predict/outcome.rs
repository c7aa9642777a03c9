//! The result of a job, or its failure.

use domain::report::Artifacts;
use domain::{Failure, FailureCode, JobId, Report};
use std::time::Duration;

use super::hub::Stage;
use crate::api::model::Prediction;
use crate::app::App;
use crate::problem::Problem;

/// Largest `result.json` read, bytes: four hours of frames.
const MAX_RESULT: u64 = 256 << 20;

impl App {
    /// Waits for a job's result, at most `limit`; `None`: it takes longer.
    ///
    /// # Errors
    /// The job's own failure, or `audio.no_speech`; 410 when it was deleted; 503 when a service does not answer.
    pub(crate) async fn prediction(&self, job: JobId, limit: Duration) -> Result<Option<Prediction>, Problem> {
        let Some(progress) = self.hub.ended(job, limit).await else { return Ok(None) };
        if progress.stage == Stage::Done {
            let (report, artifacts) = self.report(job).await?;
            return Ok(Some(Prediction::new(report, &artifacts)?));
        }
        if progress.stage == Stage::Deleted {
            return Err(Problem::deleted());
        }
        let unknown = || Failure::new(FailureCode::WorkerInternal, "failed without a code");
        Err(progress.failure.unwrap_or_else(unknown).into())
    }

    /// `result.json` of a job that is done, and where its artifacts are.
    ///
    /// # Errors
    /// 404 when there is none; 503 when a service does not answer.
    pub(crate) async fn report(&self, job: JobId) -> Result<(Report, Artifacts), Problem> {
        let row = self.database.analysis(job, None).await?.ok_or_else(|| Problem::not_found("analysis"))?;
        let artifacts = row.artifacts.ok_or_else(|| Problem::not_found("result"))?;
        let json = self.store.get_bytes(&artifacts.bucket, &artifacts.result_key, MAX_RESULT).await?;
        // Frames of a long call are many megabytes of JSON.
        let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice::<Report>(&json)).await;
        let report = parsed.map_err(|error| error.to_string()).and_then(|report| report.map_err(|e| e.to_string()));
        let report = report.map_err(|error| {
            Failure::new(FailureCode::WorkerInternal, format!("result.json of {job} can't be read: {error}"))
        })?;
        Ok((report, artifacts))
    }
}
