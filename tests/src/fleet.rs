//! A whole fleet for one test: a worker in this process, on the shared services, with its own queues, keys and database.

use adapters::amqp::{Lane, Publisher};
use adapters::boxed;
use adapters::postgres::{Database, NewBatch};
use adapters::s3::Store;
use anyhow::{Context, Result, bail};
use chrono::Utc;
use domain::AnalysisOptions;
use domain::{BatchId, CallData, ChannelLayout, Granularity, Job, JobId, ObjectRef, Report};
use settings::Settings;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use worker::pipeline::Stop;

use crate::trial::Trial;

/// Longest that a test waits for a job.
const JOB_TIMEOUT: Duration = Duration::from_secs(120);

/// A running fleet. Call [`Fleet::end`] to remove its queues, objects and database.
pub struct Fleet {
    /// The test's own names, and the settings with them.
    pub trial: Trial,
    /// The test's own database.
    pub database: Database,
    /// The object store.
    pub store: Store,
    /// Publishes jobs.
    pub publisher: Publisher,
    worker: Option<(Stop, JoinHandle<Result<()>>)>,
}

/// Call data and options of a test's recording, with the fleet's defaults.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Call data.
    pub call: CallData,
    /// Roles of the channels.
    pub channels: Option<ChannelLayout>,
    /// Granularity of the result.
    pub granularity: Granularity,
}

impl Default for Wish {
    fn default() -> Self {
        Self { call: CallData::default(), channels: None, granularity: Granularity::Utterance }
    }
}

impl Fleet {
    /// Services and one worker, with the default settings.
    ///
    /// # Errors
    /// When a service or runtime file is missing.
    #[boxed]
    pub async fn start() -> Result<Self> {
        Self::start_with(|_| {}).await
    }

    /// The same, with settings changed.
    ///
    /// # Errors
    /// When a service or runtime file is missing.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Result<Self> {
        let mut fleet = Self::without_worker().await?;
        change(&mut fleet.trial.settings);
        fleet.start_worker();
        Ok(fleet)
    }

    /// Services and names, without a worker.
    ///
    /// # Errors
    /// When a service is missing.
    #[boxed]
    pub async fn without_worker() -> Result<Self> {
        Self::on(Trial::new()?).await
    }

    /// The same, on the services of a trial.
    ///
    /// # Errors
    /// When a service is missing.
    #[boxed]
    pub async fn on(mut trial: Trial) -> Result<Self> {
        trial.settings.worker.health_addr = ([127, 0, 0, 1], 0).into();
        trial.settings.worker.drain_timeout_s = 5;
        trial.settings.amqp.retry_delays_s = vec![1, 1, 2];
        let database = trial.database().await?;
        let store = Store::new(&trial.settings.s3)?;
        store.ensure_bucket(&trial.settings.s3.bucket).await?;
        let publisher = Publisher::new(&trial.settings.amqp);
        publisher.ready().await?;
        Ok(Self { trial, database, store, publisher, worker: None })
    }

    /// Starts a worker in this process.
    pub fn start_worker(&mut self) {
        let stop = Stop::default();
        let task = tokio::spawn(worker::service::run(self.trial.settings.clone(), stop.clone()));
        self.worker = Some((stop, task));
    }

    /// Waits until the worker ends by itself.
    ///
    /// # Errors
    /// What the worker ended with, or when it does not end in time.
    #[boxed]
    pub async fn worker_ended(&mut self) -> Result<()> {
        let (_stop, task) = self.worker.take().context("no worker was started")?;
        tokio::time::timeout(JOB_TIMEOUT, task).await.context("the worker does not end")??
    }

    /// Asks the worker to drain, and waits for it.
    ///
    /// # Errors
    /// What the worker ended with.
    #[boxed]
    pub async fn stop_worker(&mut self) -> Result<()> {
        match self.worker.take() {
            Some((stop, task)) => {
                stop.taking.cancel();
                task.await?
            }
            None => Ok(()),
        }
    }

    /// Uploads bytes under this test's keys.
    ///
    /// # Errors
    /// When the store refuses.
    #[boxed]
    pub async fn upload(&self, name: &str, bytes: Vec<u8>) -> Result<ObjectRef> {
        let (bucket, key) = (self.trial.settings.s3.bucket.clone(), format!("{}{name}", self.trial.keys));
        self.store.put_bytes(&bucket, &key, bytes, "application/octet-stream").await?;
        let etag = self.store.head(&bucket, &key).await?.context("the object was just put")?.etag;
        Ok(ObjectRef { bucket, key, etag })
    }

    /// A job for an object.
    pub fn job(&self, object: ObjectRef, wish: Wish) -> Job {
        let Wish { call, channels, granularity } = wish;
        let model = self.trial.settings.model.name.clone();
        let options = AnalysisOptions { model, channels, granularity, embedding: true };
        Job::new(BatchId::from_name("test"), object, call, options, Utc::now())
    }

    /// Registers and publishes jobs, as the producer does.
    ///
    /// # Errors
    /// When a service refuses.
    #[boxed]
    pub async fn enqueue(&self, jobs: &[Job]) -> Result<()> {
        let batch = NewBatch { id: BatchId::from_name("test"), name: "test".into(), source: "test".into() };
        let wanted = self.database.register(&batch, jobs, false).await?;
        for job in jobs.iter().filter(|job| wanted.contains(&job.job_id)) {
            self.publisher.publish_job(job, Lane::Bulk).await?;
        }
        Ok(self.database.mark_published(&wanted).await?)
    }

    /// Uploads, enqueues and waits for one recording; returns its row.
    ///
    /// # Errors
    /// When it is neither done nor failed in time.
    #[boxed]
    pub async fn put_through(&self, name: &str, bytes: Vec<u8>, wish: Wish) -> Result<PgRow> {
        let job = self.job(self.upload(name, bytes).await?, wish);
        self.enqueue(std::slice::from_ref(&job)).await?;
        self.ended(job.job_id).await
    }

    /// Waits until a job is done or failed; returns its row of `analyses`.
    ///
    /// # Errors
    /// When it takes too long, or the worker ended.
    #[boxed]
    pub async fn ended(&self, job: JobId) -> Result<PgRow> {
        let begun = Instant::now();
        loop {
            let query = "SELECT * FROM analyses WHERE job_id = $1 AND status IN ('done', 'failed')";
            if let Some(row) = sqlx::query(query).bind(job.0).fetch_optional(self.database.pool()).await? {
                return Ok(row);
            }
            if let Some((_, task)) = &self.worker
                && task.is_finished()
            {
                bail!("the worker has ended; its log says why");
            }
            if begun.elapsed() > JOB_TIMEOUT {
                bail!("job {job} did not end in {JOB_TIMEOUT:?}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// An artifact's bytes.
    ///
    /// # Errors
    /// When it is not there.
    #[boxed]
    pub async fn artifact(&self, row: &PgRow, column: &str) -> Result<Vec<u8>> {
        let bucket: String = row.try_get("artifact_bucket")?;
        let key: String = row.try_get(column)?;
        Ok(self.store.get_bytes(&bucket, &key, 64 << 20).await?)
    }

    /// `result.json` of a job.
    ///
    /// # Errors
    /// When it is not there or not readable.
    #[boxed]
    pub async fn report(&self, row: &PgRow) -> Result<Report> {
        Ok(serde_json::from_slice(&self.artifact(row, "result_key").await?)?)
    }

    /// One number, by a query that returns one.
    ///
    /// # Errors
    /// When the query is refused.
    #[boxed]
    pub async fn count(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(self.database.pool()).await?)
    }

    /// Drains the worker and removes queues, objects and database.
    ///
    /// # Errors
    /// When something refuses, or the worker ended with an error.
    #[boxed]
    pub async fn end(mut self) -> Result<()> {
        self.stop_worker().await?;
        self.publisher.close().await;
        self.database.close().await;
        self.trial.end().await
    }
}
