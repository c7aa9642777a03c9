//! Inserts or updates the rows of jobs: many in one statement, as one array per column.

use chrono::{DateTime, Utc};
use domain::{Failure, Job, JobId, Lane, ObjectRef};
use serde_json::{Value, json};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryScalar;
use uuid::Uuid;

use super::register::NewBatch;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, errors};

/// Source of a batch whose jobs were first seen in the queue.
const FROM_MESSAGE: &str = "message";

/// How jobs are upserted.
#[derive(Clone, Copy)]
pub(in crate::postgres) struct UpsertOptions {
    /// Ended jobs start again.
    pub(in crate::postgres) force: bool,
    /// The message is already in the queue.
    pub(in crate::postgres) published: bool,
    /// Jobs that have a row are left alone.
    pub(in crate::postgres) new_only: bool,
    /// Where the message is published.
    pub(in crate::postgres) lane: Lane,
}

impl Database {
    /// One statement for up to some hundred jobs. Returns the jobs that need publishing. The time of a call that is
    /// corrected reaches every copy in the same statement, by triggers.
    pub(super) async fn upsert_jobs(
        &self,
        batch: &NewBatch,
        jobs: &[Job],
        options: UpsertOptions,
    ) -> Result<Vec<JobId>, Failure> {
        self.ensure_months_of_corrections(jobs).await?;
        // Another program may insert the same recording at this moment: ON CONFLICT names one of its two keys.
        let ids: Vec<Uuid> =
            repeated(|| async { upsert_statement(batch, jobs, options).fetch_all(self.pool()).await }).await?;
        Ok(ids.into_iter().map(JobId).collect())
    }

    /// Creates the partitions to which segments will move when the time of a call is corrected.
    pub(in crate::postgres) async fn ensure_months_of_corrections(&self, jobs: &[Job]) -> Result<(), Failure> {
        const CORRECTED: &str = include_str!("corrected_times.sql");
        let dated = || jobs.iter().filter_map(|job| Some((recording_id(&job.object), job.call.started_at?)));
        let (recordings, times): (Vec<Uuid>, Vec<DateTime<Utc>>) = dated().unzip();
        if recordings.is_empty() {
            return Ok(());
        }
        let query = sqlx::query_scalar(CORRECTED).bind(recordings).bind(times);
        let moments: Vec<DateTime<Utc>> = query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))?;
        for moment in moments {
            self.ensure_month(moment).await?;
        }
        Ok(())
    }

    /// Gives a job a row that came by the queue and was never registered.
    pub(in crate::postgres) async fn adopt(&self, job: &Job) -> Result<(), Failure> {
        let batch = NewBatch { id: job.batch_id, name: job.batch_id.to_string(), source: FROM_MESSAGE.into() };
        let options = UpsertOptions { force: false, published: true, new_only: false, lane: Lane::Bulk };
        self.upsert_jobs(&batch, std::slice::from_ref(job), options).await.map(drop)
    }
}

/// The statement of [`Database::upsert_jobs`], for a transaction that writes more; after
/// [`Database::ensure_months_of_corrections`].
pub(in crate::postgres) fn upsert_statement<'a>(
    batch: &'a NewBatch,
    jobs: &[Job],
    options: UpsertOptions,
) -> QueryScalar<'a, Postgres, Uuid, PgArguments> {
    Columns::of(jobs).bind(batch, options)
}

/// Id of the recording: UUIDv5 of bucket, key and etag, so that no statement has to look it up.
pub(in crate::postgres) fn recording_id(object: &ObjectRef) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x8a3f_1c52_67de_4b0b_a1f4_0c6d_25b9_e702);
    let identity = json!([object.bucket, object.key, object.etag.as_deref().unwrap_or_default()]);
    Uuid::new_v5(&NAMESPACE, identity.to_string().as_bytes())
}

/// Jobs as one array per column of `upsert.sql`.
#[derive(Default)]
struct Columns {
    job_id: Vec<Uuid>,
    recording_id: Vec<Uuid>,
    bucket: Vec<String>,
    key: Vec<String>,
    etag: Vec<String>,
    call_id: Vec<Option<String>>,
    agent: Vec<Option<String>>,
    team: Vec<Option<String>>,
    customer: Vec<Option<String>>,
    started_at: Vec<Option<DateTime<Utc>>>,
    attributes: Vec<Value>,
    model: Vec<String>,
    options: Vec<Value>,
    submitted_at: Vec<DateTime<Utc>>,
    max_seconds: Vec<Option<i32>>,
}

impl Columns {
    fn of(jobs: &[Job]) -> Self {
        let mut columns = Self::default();
        for job in jobs {
            let call = &job.call;
            columns.job_id.push(job.job_id.0);
            columns.recording_id.push(recording_id(&job.object));
            columns.bucket.push(job.object.bucket.clone());
            columns.key.push(job.object.key.clone());
            columns.etag.push(job.object.etag.clone().unwrap_or_default());
            columns.call_id.push(call.call_id.clone());
            columns.agent.push(call.agent.clone());
            columns.team.push(call.team.clone());
            columns.customer.push(call.customer.clone());
            columns.started_at.push(call.started_at);
            columns.attributes.push(json!(call.attributes));
            columns.model.push(job.options.model.clone());
            columns.options.push(json!({
                "channels": job.options.channels, "granularity": job.options.granularity, "embedding": job.options.embedding
            }));
            columns.submitted_at.push(job.submitted_at);
            columns.max_seconds.push(job.max_seconds.and_then(|seconds| i32::try_from(seconds).ok()));
        }
        columns
    }

    fn bind(self, batch: &NewBatch, options: UpsertOptions) -> QueryScalar<'_, Postgres, Uuid, PgArguments> {
        const UPSERT: &str = include_str!("upsert.sql");
        sqlx::query_scalar(UPSERT)
            .bind(batch.id.0)
            .bind(&batch.name)
            .bind(&batch.source)
            .bind(options.force)
            .bind(options.published)
            .bind(self.job_id)
            .bind(self.recording_id)
            .bind(self.bucket)
            .bind(self.key)
            .bind(self.etag)
            .bind(self.call_id)
            .bind(self.agent)
            .bind(self.team)
            .bind(self.customer)
            .bind(self.started_at)
            .bind(self.attributes)
            .bind(self.model)
            .bind(self.options)
            .bind(self.submitted_at)
            .bind(options.lane.label())
            .bind(self.max_seconds)
            .bind(options.new_only)
    }
}
