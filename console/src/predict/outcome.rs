//! The result of a job, or its failure.

use domain::report::Artifacts;
use domain::{Failure, FailureCode, Granularity, JobId, Report};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

use super::hub::Stage;
use crate::api::model::Prediction;
use crate::app::App;
use crate::problem::Problem;

/// Largest `result.json` read, bytes: four hours of frames.
const MAX_RESULT: u64 = 256 << 20;
/// Results up to this size are read however many there are, bytes.
pub(crate) const SMALL_RESULT: u64 = 1 << 20;
/// How long a request waits for its turn to read a large one.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

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
    /// 404 when there is none; 503 when a service does not answer, or too many large results are being read.
    pub(crate) async fn report(&self, job: JobId) -> Result<(Report, Artifacts), Problem> {
        self.read_result(job, |json| serde_json::from_slice::<Report>(json)).await
    }

    /// Reads `result.json` of a job that is done on a thread for blocking work: frames of a long call are many megabytes of JSON.
    /// Few large ones are in memory at once, until `read` has read them, also when the request has ended.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub(crate) async fn read_result<T: Send + 'static>(
        &self,
        job: JobId,
        read: impl FnOnce(&[u8]) -> Result<T, serde_json::Error> + Send + 'static,
    ) -> Result<(T, Artifacts), Problem> {
        let row = self.database.analysis(job, None).await?.ok_or_else(|| Problem::not_found("analysis"))?;
        let artifacts = row.artifacts.ok_or_else(|| Problem::not_found("result"))?;
        // Without frames, a result is small however long the call is.
        let framed = row.options["granularity"] == Granularity::Frame.label();
        let permit = if framed { self.turn_to_read(&artifacts).await? } else { None };
        let json = self.store.get_bytes(&artifacts.bucket, &artifacts.result_key, MAX_RESULT).await?;
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&json)
        });
        let unreadable = |error: String| {
            Failure::new(FailureCode::WorkerInternal, format!("result.json of {job} can't be read: {error}"))
        };
        let read = reading.await.map_err(|e| unreadable(e.to_string()))?.map_err(|e| unreadable(e.to_string()))?;
        Ok((read, artifacts))
    }

    /// Waits while too many large results are being read; `None`: this one is small.
    async fn turn_to_read(&self, artifacts: &Artifacts) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let info = self.store.head(&artifacts.bucket, &artifacts.result_key).await?;
        if info.is_none_or(|info| info.bytes <= SMALL_RESULT) {
            return Ok(None);
        }
        let permit = tokio::time::timeout(LONGEST_WAIT, self.reading.clone().acquire_owned()).await;
        Ok(Some(permit.map_err(|_| busy())?.map_err(|_| busy())?))
    }
}

/// The answer when too many large results are in flight.
pub(crate) fn busy() -> Problem {
    Problem::unavailable(
        "request.busy",
        "Too many large results are being read or sent at this moment. Try again in a few seconds.",
    )
}
