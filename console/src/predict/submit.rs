//! A received file becomes an object, a row and a message, in this order.

use adapters::amqp::Lane;
use adapters::postgres::console::{AnalysisRow, Reservation};
use adapters::postgres::{NewBatch, Status};
use axum::http::StatusCode;
use chrono::Utc;
use domain::{AnalysisOptions, BatchId, CallData, ChannelLayout, Granularity, Job, JobId, ObjectRef};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;
use crate::upload::{Fields, Spooled};

/// Source of the batches that consoles make.
pub(crate) const SOURCE: &str = "console";
/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;

/// One recording to analyse.
pub(crate) struct Submission {
    /// The file.
    pub file: Spooled,
    /// Roles of the channels.
    pub channels: Option<ChannelLayout>,
    /// How fine.
    pub granularity: Granularity,
    /// Whether `embedding.npy` is written.
    pub embedding: bool,
    /// What is known of the call.
    pub call: CallData,
}

/// What a submission belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    batch: NewBatch,
}

impl Origin {
    /// Single predictions: one batch a day.
    pub(crate) fn today() -> Self {
        Self::named(format!("console {}", Utc::now().format("%Y-%m-%d")))
    }

    /// Files of one upload, as a batch.
    pub(crate) fn together() -> Self {
        let now = Utc::now();
        Self::named(format!("upload {} {}", now.format("%Y-%m-%d %H:%M:%S"), &Uuid::new_v4().simple().to_string()[..6]))
    }

    /// The batch.
    pub(crate) fn id(&self) -> BatchId {
        self.batch.id
    }

    fn named(name: String) -> Self {
        Self { batch: NewBatch { id: BatchId::from_name(&name), name, source: SOURCE.into() } }
    }
}

impl Submission {
    /// The file with the options of its request; embeddings are stored unless declined.
    pub(crate) fn new(file: Spooled, fields: &Fields) -> Self {
        Self {
            file,
            channels: fields.channels.clone(),
            granularity: fields.granularity.unwrap_or_default(),
            embedding: fields.embedding.unwrap_or(true),
            call: fields.call.clone(),
        }
    }

    /// Differs for another request with the same idempotency key.
    fn fingerprint(&self) -> [u8; 32] {
        let options = serde_json::json!([self.channels, self.granularity, self.embedding, self.call]);
        Sha256::new().chain_update(self.file.sha256).chain_update(options.to_string()).finalize().into()
    }
}

impl App {
    /// Stores, registers and publishes a submission; gives the job.
    ///
    /// # Errors
    /// 503 when a service does not answer; nothing is queued then.
    pub(crate) async fn submit(
        &self,
        caller: &Principal,
        submission: Submission,
        origin: &Origin,
    ) -> Result<JobId, Problem> {
        let Submission { file, channels, granularity, embedding, mut call } = submission;
        // A caller who sees one team only uploads for that team.
        if let Some(team) = &caller.team {
            call.team = Some(team.clone());
        }
        let console = &self.settings.console;
        let (bucket, now) = (self.settings.s3.bucket.clone(), Utc::now());
        let key = format!("{}/{}/{}/{}", console.upload_prefix, now.format("%Y/%m/%d"), Uuid::now_v7(), file.name);
        let stored = self.store.put_file(&bucket, &key, file.path(), "application/octet-stream").await;
        let etag = Some(stored?).filter(|etag| !etag.is_empty());
        let options = AnalysisOptions { channels, granularity, embedding, model: self.settings.model.name.clone() };
        let job = Job::new(origin.batch.id, ObjectRef { bucket, key, etag }, call, options, now);
        self.enqueue(caller, job, origin, false).await
    }

    /// A recording that is stored already, analysed again: with the fields that are given, else as before. The same
    /// options give the same job; one that has failed is begun anew.
    ///
    /// # Errors
    /// 503 when a service does not answer.
    pub(crate) async fn resubmit(
        &self,
        caller: &Principal,
        row: &AnalysisRow,
        fields: &Fields,
    ) -> Result<JobId, Problem> {
        let kept = |key: &str| row.options[key].clone();
        let options = AnalysisOptions {
            channels: fields.channels.clone().or_else(|| serde_json::from_value(kept("channels")).ok()),
            granularity: fields
                .granularity
                .unwrap_or_else(|| serde_json::from_value(kept("granularity")).unwrap_or_default()),
            embedding: fields.embedding.unwrap_or_else(|| kept("embedding") != false),
            model: self.settings.model.name.clone(),
        };
        let object =
            ObjectRef { bucket: row.recording.bucket.clone(), key: row.recording.key.clone(), etag: row.etag.clone() };
        let origin = Origin::today();
        let job = Job::new(origin.batch.id, object, row.recording.call.clone(), options, Utc::now());
        let anew = job.job_id == row.job_id && row.status == Status::Failed;
        self.enqueue(caller, job, &origin, anew).await
    }

    /// Registers and publishes; a job that is known already is not published again, unless `anew`.
    async fn enqueue(&self, caller: &Principal, mut job: Job, origin: &Origin, anew: bool) -> Result<JobId, Problem> {
        job.max_seconds = u32::try_from(self.settings.console.upload_max_seconds).ok();
        let lane = Lane::Interactive;
        // By the code with which a worker would refuse it.
        Job::received(&job.to_json()).map_err(|failure| Problem::unprocessable(format!("{}.", failure.message)))?;
        // Before a row is written that would stay queued; and at once, where publishing would wait for the broker.
        self.publisher.ready().await?;
        let wanted = self.database.register_in(&origin.batch, std::slice::from_ref(&job), anew, lane.label()).await?;
        self.database.note_submission(&caller.name(), job.job_id).await?;
        if !wanted.is_empty() {
            self.publisher.publish_job(&job, lane).await?;
            self.database.mark_published(&wanted).await?;
        }
        tracing::info!(job_id = %job.job_id, "submitted");
        Ok(job.job_id)
    }

    /// As [`Self::submit`], once for each idempotency key of a caller.
    ///
    /// # Errors
    /// As [`Self::submit`]; 409 while the first request is being stored, 422 when it was another request.
    pub(crate) async fn submit_once(
        &self,
        caller: &Principal,
        submission: Submission,
        key: Option<&str>,
    ) -> Result<JobId, Problem> {
        let origin = Origin::today();
        let Some(key) = key else { return self.submit(caller, submission, &origin).await };
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Problem::bad_request(format!("`Idempotency-Key` has 1 to {MAX_KEY} characters.")));
        }
        let name = caller.name();
        match self.database.reserve_request(&name, key, &submission.fingerprint()).await? {
            Reservation::Known(job) => Ok(job),
            Reservation::Conflict => {
                let detail = "The same `Idempotency-Key` was used with another file or other options.";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "request.conflict", detail))
            }
            Reservation::Pending => {
                let detail = "The first request with this `Idempotency-Key` is still being stored.";
                Err(Problem::new(StatusCode::CONFLICT, "request.conflict", detail).retry_after(1))
            }
            Reservation::Reserved => {
                let submitted = self.submit(caller, submission, &origin).await;
                self.database.settle_request(&name, key, submitted.as_ref().ok().copied()).await?;
                submitted
            }
        }
    }
}
