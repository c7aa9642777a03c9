//! A received file becomes an object, a row and a message, in this order. Once begun, this goes on when the sender hangs up,
//! and an object that gets no row is deleted again: rows are what deletions and retention begin from.

use adapters::amqp::Lane;
use adapters::postgres::Status;
use adapters::postgres::console::{AnalysisRow, NewSubmission, Reservation, Submitted};
use adapters::retry::{RetryPolicy, retry_while};
use axum::http::StatusCode;
use chrono::Utc;
use domain::{AnalysisOptions, Job, JobId, ObjectRef};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;
use uuid::Uuid;

use super::submission::{Origin, Submission};
use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;
use crate::upload::Fields;

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;
/// Lane of all jobs of consoles.
const LANE: Lane = Lane::Interactive;
/// Longest that an answer waits for the broker to confirm the message of a job that has its row.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);
/// How long a service that does not answer is waited for, to delete an upload that has no row.
const DISCARDED_WITHIN: Duration = Duration::from_secs(600);

/// Who submits, and by which request.
struct Sender {
    caller: String,
    /// Idempotency key and fingerprint.
    request: Option<(String, [u8; 32])>,
}

impl App {
    /// Stores, registers and publishes a submission; gives the job.
    ///
    /// # Errors
    /// 503 when a service does not answer; nothing of it stays in the store then, unless its row was written.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        caller: &Principal,
        submission: Submission,
        origin: &Origin,
    ) -> Result<JobId, Problem> {
        let (app, caller, origin) = (self.clone(), caller.clone(), origin.clone());
        let sender = Sender { caller: caller.name(), request: None };
        self.to_its_end(async move { app.store(&caller, &sender, submission, &origin).await }).await
    }

    /// As [`Self::submit`], once for each idempotency key of a caller.
    ///
    /// # Errors
    /// As [`Self::submit`]; 409 while the first request is being stored, 422 when it was another request.
    pub(crate) async fn submit_once(
        self: &Arc<Self>,
        caller: &Principal,
        submission: Submission,
        key: Option<&str>,
    ) -> Result<JobId, Problem> {
        let Some(key) = key else { return self.submit(caller, submission, &Origin::today()).await };
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Problem::bad_request(format!("`Idempotency-Key` has 1 to {MAX_KEY} characters.")));
        }
        let (app, caller, key) = (self.clone(), caller.clone(), key.to_owned());
        self.to_its_end(async move { app.store_once(&caller, submission, key).await }).await
    }

    /// A recording that is stored already, analysed again: with the fields that are given, else as before. The same
    /// options give the same job; one that has failed is begun anew.
    ///
    /// # Errors
    /// 503 when a service does not answer.
    pub(crate) async fn resubmit(
        self: &Arc<Self>,
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
        let job = self.job(&origin, object, row.recording.call.clone(), options);
        let anew = job.job_id == row.job_id && row.status == Status::Failed;
        let (app, sender) = (self.clone(), Sender { caller: caller.name(), request: None });
        let work = async move {
            app.check(&job).await?;
            let submitted = app.database.submit(&sender.submission(&origin, &job, anew)).await?;
            app.publish(job, submitted).await
        };
        self.to_its_end(work).await
    }

    async fn store_once(
        self: &Arc<Self>,
        caller: &Principal,
        submission: Submission,
        key: String,
    ) -> Result<JobId, Problem> {
        let (name, fingerprint) = (caller.name(), submission.fingerprint());
        match self.database.reserve_request(&name, &key, &fingerprint).await? {
            Reservation::Known(job) => Ok(job),
            Reservation::Conflict => Err(other_request()),
            Reservation::Pending => {
                let detail = "The first request with this `Idempotency-Key` is still being stored.";
                Err(Problem::conflict("Idempotency key in use", detail).retry_after(1))
            }
            Reservation::Reserved => {
                let sender = Sender { caller: name, request: Some((key, fingerprint)) };
                let stored = self.store(caller, &sender, submission, &Origin::today()).await;
                // One that has registered its job has the key.
                if stored.is_err()
                    && let Some((key, _)) = &sender.request
                    && let Err(failure) = self.database.free_request(&sender.caller, key).await
                {
                    tracing::warn!(%failure, "an idempotency key stays reserved for a minute");
                }
                stored
            }
        }
    }

    async fn store(
        self: &Arc<Self>,
        caller: &Principal,
        sender: &Sender,
        submission: Submission,
        origin: &Origin,
    ) -> Result<JobId, Problem> {
        let Submission { file, channels, granularity, embedding, mut call } = submission;
        // A caller who sees one team only uploads for that team.
        if let Some(team) = &caller.team {
            call.team = Some(team.clone());
        }
        let options = AnalysisOptions { channels, granularity, embedding, model: self.settings.model.name.clone() };
        let date = Utc::now().format("%Y/%m/%d");
        let folder = format!("{}/{date}/{}", self.settings.console.upload_prefix, Uuid::now_v7());
        let mut object =
            ObjectRef { bucket: self.settings.s3.bucket.clone(), key: format!("{folder}/{}", file.name), etag: None };
        // Before anything is stored.
        self.check(&self.job(origin, object.clone(), call.clone(), options.clone())).await?;
        let upload = Upload { bucket: object.bucket.clone(), key: object.key.clone(), folder };
        let stored = self.store.put_file(&upload.bucket, &upload.key, file.path(), "application/octet-stream").await;
        let etag = match stored {
            Ok(etag) => etag,
            // The store may have it all the same.
            Err(failure) => {
                self.discard(upload, None);
                return Err(failure.into());
            }
        };
        object.etag = Some(etag).filter(|etag| !etag.is_empty());
        let job = self.job(origin, object, call, options);
        let submitted = match self.database.submit(&sender.submission(origin, &job, false)).await {
            Ok(submitted) => submitted,
            Err(failure) => {
                // A refusal has written nothing; where no answer came, the row may be there.
                self.discard(upload, failure.is_unreachable().then_some(job.job_id));
                return Err(failure.into());
            }
        };
        if !matches!(submitted, Submitted::Registered { .. }) {
            self.discard(upload, None);
        }
        self.publish(job, submitted).await
    }

    fn job(&self, origin: &Origin, object: ObjectRef, call: domain::CallData, options: AnalysisOptions) -> Job {
        let mut job = Job::new(origin.batch.id, object, call, options, Utc::now());
        job.max_seconds = u32::try_from(self.settings.console.upload_max_seconds).ok();
        job
    }

    /// Refuses what a worker would refuse, and all jobs while the broker takes none, before anything is written.
    async fn check(&self, job: &Job) -> Result<(), Problem> {
        Job::received(&job.to_json()).map_err(|failure| Problem::unprocessable(format!("{}.", failure.message)))?;
        Ok(self.publisher.accepts().await?)
    }

    /// Publishes a job that has its row. What the broker does not confirm soon is confirmed later, or found by the
    /// reconciliation: either way the job is accepted.
    async fn publish(self: &Arc<Self>, job: Job, submitted: Submitted) -> Result<JobId, Problem> {
        let job_id = job.job_id;
        match submitted {
            Submitted::Known(first) => return Ok(first),
            Submitted::Conflict => return Err(other_request()),
            Submitted::Registered { publish: false } => {}
            Submitted::Registered { publish: true } => {
                let app = self.clone();
                let publishing = async move {
                    let published = async {
                        app.publisher.publish_job(&job, LANE).await?;
                        app.database.mark_published(&[job.job_id]).await
                    };
                    // Nobody may wait for it any more.
                    published.await.inspect_err(|failure| tracing::warn!(%failure, "registered, and not published yet"))
                };
                let publishing = self.submitting.spawn(publishing.in_current_span());
                if let Ok(ended) = tokio::time::timeout(CONFIRMED_WITHIN, publishing).await {
                    ended.map_err(|error| unfinished(&error))??;
                } else {
                    tracing::warn!(%job_id, "registered; RabbitMQ has not confirmed its message yet");
                }
            }
        }
        tracing::info!(%job_id, "submitted");
        Ok(job_id)
    }

    /// Deletes an upload that has no row, and answers meanwhile. `unsure`: the job whose row may have been written, since the
    /// answer of the database alone may have been lost; then the row names the upload.
    fn discard(self: &Arc<Self>, upload: Upload, unsure: Option<JobId>) {
        let app = self.clone();
        self.submitting.spawn(async move {
            let Upload { bucket, key, folder } = upload;
            let patience = RetryPolicy::at_most(DISCARDED_WITHIN);
            if let Some(job) = unsure {
                match retry_while(patience, "postgres", || app.database.analysis(job, None)).await {
                    Ok(None) => {}
                    Ok(Some(_)) => return,
                    Err(failure) => {
                        let advice = "delete the upload's folder if the job has no row";
                        tracing::error!(%failure, %job, bucket, folder, advice, "an upload may be without a row");
                        return;
                    }
                }
            }
            let keys = [key];
            if let Err(failure) = retry_while(patience, "s3", || app.store.delete(&bucket, &keys)).await {
                // Without the file's name, which may be personal data.
                tracing::error!(%failure, bucket, folder, "an upload without a row stays in the store: delete this folder");
            }
        });
    }

    /// Does work that must not end half done when the sender hangs up.
    async fn to_its_end(
        &self,
        work: impl Future<Output = Result<JobId, Problem>> + Send + 'static,
    ) -> Result<JobId, Problem> {
        self.submitting.spawn(work.in_current_span()).await.unwrap_or_else(|error| Err(unfinished(&error)))
    }
}

impl Sender {
    fn submission<'a>(&'a self, origin: &'a Origin, job: &'a Job, anew: bool) -> NewSubmission<'a> {
        let request = self.request.as_ref().map(|(key, fingerprint)| (key.as_str(), fingerprint.as_slice()));
        NewSubmission { batch: &origin.batch, job, anew, lane: LANE, caller: &self.caller, request }
    }
}

/// An object that a submission stored.
struct Upload {
    bucket: String,
    key: String,
    /// The key without the file's name.
    folder: String,
}

fn other_request() -> Problem {
    let detail = "The same `Idempotency-Key` was used with another file or other options.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "request.conflict", detail)
}

fn unfinished(error: &tokio::task::JoinError) -> Problem {
    tracing::error!(%error, "a submission did not end");
    Problem::internal("The recording can't be submitted.")
}
