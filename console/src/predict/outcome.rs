//! The result of a job, or its failure.

use domain::report::{Artifacts, FrameSeries};
use domain::{Failure, FailureCode, Granularity, JobId, Report};
use std::time::Duration;

use super::hub::Stage;
use crate::api::model::Prediction;
use crate::app::App;
use crate::guard::Turn;
use crate::problem::Problem;

/// Largest `result.json` read, bytes: four hours of frames.
const MAX_RESULT: u64 = 256 << 20;
/// Results up to this size are read however many there are, bytes.
pub(crate) const SMALL_RESULT: u64 = 1 << 20;

/// A prediction, and the turn in which it may be in memory, where it is large.
pub(crate) struct Predicted {
    pub prediction: Prediction,
    /// Of one with the frames of a long call; `None`: it is small.
    pub large: Option<Turn>,
}

impl App {
    /// Waits for a job's result, at most `limit`; `None`: it takes longer.
    ///
    /// # Errors
    /// The job's own failure, or `audio.no_speech`; 410 when it was deleted; 503 when a service does not answer.
    pub(crate) async fn prediction(&self, job: JobId, limit: Duration) -> Result<Option<Predicted>, Problem> {
        let Some(progress) = self.hub.ended(job, limit).await else { return Ok(None) };
        if progress.stage == Stage::Done {
            let (report, artifacts, large) =
                self.read_in_turn(job, |json| serde_json::from_slice::<Report>(json)).await?;
            return Ok(Some(Predicted { prediction: Prediction::new(report, &artifacts)?, large }));
        }
        if progress.stage == Stage::Deleted {
            return Err(Problem::deleted());
        }
        let unknown = || Failure::new(FailureCode::WorkerInternal, "failed without a code");
        Err(progress.failure.unwrap_or_else(unknown).into())
    }

    /// `result.json` of a job that is done, and where its artifacts are. Of frames, only whether there are any: they are many
    /// megabytes.
    ///
    /// # Errors
    /// 404 when there is none; 503 when a service does not answer, or too many large results are being read.
    pub(crate) async fn report(&self, job: JobId) -> Result<(Report, Artifacts), Problem> {
        let read = |json: &[u8]| {
            let report: Report = serde_json::from_slice(json)?;
            let frames = report.frames.map(|frames| FrameSeries { segments: Vec::new(), ..frames });
            Ok(Report { frames, ..report })
        };
        self.read_result(job, read).await
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
        self.read_in_turn(job, read).await.map(|(read, artifacts, _turn)| (read, artifacts))
    }

    /// The same, with the turn of a large result, for those who keep what they have read.
    async fn read_in_turn<T: Send + 'static>(
        &self,
        job: JobId,
        read: impl FnOnce(&[u8]) -> Result<T, serde_json::Error> + Send + 'static,
    ) -> Result<(T, Artifacts, Option<Turn>), Problem> {
        let row = self.database.analysis(job, None).await?.ok_or_else(|| Problem::not_found("analysis"))?;
        let artifacts = row.artifacts.ok_or_else(|| Problem::not_found("result"))?;
        // Without frames, a result is small however long the call is.
        let framed = row.options["granularity"] == Granularity::Frame.label();
        let turn = if framed { self.turn_to_read(&artifacts).await? } else { None };
        let json = self.store.get_bytes(&artifacts.bucket, &artifacts.result_key, MAX_RESULT).await?;
        let reading = tokio::task::spawn_blocking(move || (read(&json), turn));
        let unreadable = |error: String| {
            Failure::new(FailureCode::WorkerInternal, format!("result.json of {job} can't be read: {error}"))
        };
        let (read, turn) = reading.await.map_err(|e| unreadable(e.to_string()))?;
        Ok((read.map_err(|e| unreadable(e.to_string()))?, artifacts, turn))
    }

    /// Waits while too many large results are being read; `None`: this one is small.
    async fn turn_to_read(&self, artifacts: &Artifacts) -> Result<Option<Turn>, Problem> {
        let info = self.store.head(&artifacts.bucket, &artifacts.result_key).await?;
        if info.is_none_or(|info| info.bytes <= SMALL_RESULT) {
            return Ok(None);
        }
        self.limits.large_results.turn().await.map(Some)
    }
}
