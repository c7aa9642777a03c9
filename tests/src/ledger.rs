//! The audit of a batch: compares what was enqueued with what came of it.

use adapters::amqp::{DeadLetters, Filter, Lane};
use adapters::boxed;
use adapters::postgres::NewBatch;
use anyhow::{Context, Result, bail};
use chrono::Utc;
use domain::AnalysisOptions;
use domain::{BatchId, CallData, Granularity, Job, JobId, ObjectRef, Report};
use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::rig::Rig;

/// Longest time without any job that ends.
const STALL_TIMEOUT: Duration = Duration::from_secs(240);

/// A recording to enqueue, and the failure code that it must end with, if any.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The file.
    pub bytes: Vec<u8>,
    /// `None`: it must be done.
    pub code: Option<&'static str>,
}

/// A batch that was enqueued.
pub struct Ledger {
    batch: BatchId,
    expected: BTreeMap<JobId, Option<&'static str>>,
}

/// The result of the audit; `lost` and `duplicated` should be zero.
#[derive(Debug, Default, Clone, Copy)]
pub struct Audit {
    /// Jobs enqueued.
    pub jobs: usize,
    /// Neither done nor dead-lettered with the true reason, or artifacts that are missing.
    pub lost: usize,
    /// Duplicate rows or segments, or artifacts that differ from their row.
    pub duplicated: usize,
    /// Jobs that needed more than one attempt: without any, the fault had no effect.
    pub repeated: usize,
}

impl Ledger {
    /// Uploads the entries, registers and publishes their jobs.
    ///
    /// # Errors
    /// When a service refuses.
    pub async fn hand_in(rig: &Rig, name: &str, entries: &[Entry]) -> Result<Self> {
        let bucket = rig.direct.s3.bucket.clone();
        let batch = BatchId::from_name(name);
        let jobs: Vec<(Job, Option<&'static str>)> = stream::iter(entries.iter().enumerate())
            .map(|(i, entry)| {
                let key = format!("{name}/{i:04}.wav");
                let bucket = &bucket;
                async move {
                    let etag = rig.store.put_bytes(bucket, &key, entry.bytes.clone(), "audio/wav").await?;
                    let object = ObjectRef { bucket: bucket.clone(), key, etag: Some(etag) };
                    let options = AnalysisOptions {
                        model: rig.direct.model.name.clone(),
                        channels: None,
                        granularity: Granularity::Utterance,
                        embedding: true,
                    };
                    let job = Job::new(batch, object, CallData::default(), options, Utc::now());
                    Ok::<_, anyhow::Error>((job, entry.code))
                }
            })
            .buffer_unordered(8)
            .try_collect()
            .await?;
        let expected = jobs.iter().map(|(job, code)| (job.job_id, *code)).collect();
        let jobs: Vec<Job> = jobs.into_iter().map(|(job, _)| job).collect();
        let row = NewBatch { id: batch, name: name.into(), source: name.into() };
        let wanted = rig.database.register(&row, &jobs, false).await?;
        for result in rig.publisher.publish_jobs(&jobs, Lane::Bulk).await {
            result?;
        }
        rig.database.mark_published(&wanted).await?;
        Ok(Self { batch, expected })
    }

    /// The job that must end with this code.
    pub fn job_that_ends_with(&self, code: &str) -> Option<JobId> {
        self.expected.iter().find(|(_, expected)| **expected == Some(code)).map(|(job, _)| *job)
    }

    /// How many have ended, done or failed.
    ///
    /// # Errors
    /// When the database does not answer.
    #[boxed]
    pub async fn ended(&self, rig: &Rig) -> Result<usize> {
        Ok(rig.database.batch_progress(&self.batch).await?.ended() as usize)
    }

    /// Waits until at least `count` have ended; the time that took.
    ///
    /// # Errors
    /// When no job ends any more; the message has the workers' log.
    #[boxed]
    pub async fn until(&self, rig: &Rig, count: usize) -> Result<Duration> {
        let begun = Instant::now();
        let (mut most, mut moved) = (0, begun);
        loop {
            // The database may be what is broken at the moment.
            let ended = self.ended(rig).await.unwrap_or_default();
            if ended >= count.min(self.expected.len()) {
                return Ok(begun.elapsed());
            }
            if ended > most {
                (most, moved) = (ended, Instant::now());
            }
            if moved.elapsed() > STALL_TIMEOUT {
                bail!(
                    "{ended} of {} ended, and none in the last {STALL_TIMEOUT:?}.\n{}\nThe workers' log:\n{}",
                    self.expected.len(),
                    self.open(rig).await.unwrap_or_else(|e| format!("{e:#}")),
                    rig.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where the jobs are that have not ended: their rows, what the workers' log says of them, and the broker's queues.
    async fn open(&self, rig: &Rig) -> Result<String> {
        const OPEN: &str = "SELECT job_id::text, concat_ws(' ', state, 'attempts', attempts, 'unfinished', unfinished, \
            'retries', retries, 'attempt', attempt, 'started', started_at, 'published', published_at) AS row \
            FROM analyses WHERE batch_id = $1 AND state NOT IN ('done', 'failed') ORDER BY started_at";
        let rows: Vec<(String, String)> =
            sqlx::query_as(OPEN).bind(self.batch.0).fetch_all(rig.database.pool()).await?;
        let log = rig.log().unwrap_or_default();
        let mut text = String::new();
        for (job, row) in rows {
            text += &format!("{job} {row}\n");
            log.lines().filter(|line| line.contains(&job)).for_each(|line| text += &format!("    {line}\n"));
        }
        Ok(text + &rig.queues()?)
    }

    /// Job and code of each dead letter, once all that are expected are there or half a minute has passed: a row has its
    /// failure a moment before the letter is published.
    async fn letters(&self, rig: &Rig) -> Result<BTreeSet<(String, String)>> {
        let expected = || self.expected.iter().filter_map(|(job, code)| Some((job.to_string(), (*code)?.to_owned())));
        let (queue, filter) =
            (DeadLetters::new(&rig.direct.amqp), Filter { batch: Some(self.batch), ..Filter::default() });
        let begun = Instant::now();
        loop {
            // A worker killed between dead letter and acknowledgement leaves a second dead letter, which is harmless.
            let letters = queue.list(&filter, 10_000).await?.letters;
            let dead: BTreeSet<_> = letters.into_iter().map(|letter| (letter.id, letter.code)).collect();
            if begun.elapsed() > Duration::from_secs(30) || expected().all(|letter| dead.contains(&letter)) {
                return Ok(dead);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Compares rows, dead letters and artifacts with what was enqueued. Prints what is wrong.
    ///
    /// # Errors
    /// When a service does not answer.
    #[boxed]
    pub async fn audit(&self, rig: &Rig) -> Result<Audit> {
        let mut audit = Audit { jobs: self.expected.len(), ..Audit::default() };
        let query = "SELECT job_id, status, failure_code, emotion, confidence, result_key, audio_key, embedding_key, \
            artifact_bucket FROM analyses WHERE batch_id = $1";
        let rows = sqlx::query(query).bind(self.batch.0).fetch_all(rig.database.pool()).await?;
        let mut found = BTreeMap::new();
        for row in &rows {
            *found.entry(JobId(row.get("job_id"))).or_insert(0_usize) += 1;
        }
        audit.duplicated += found.values().filter(|n| **n > 1).count();
        let dead = self.letters(rig).await?;
        for (job, code) in &self.expected {
            let row = rows.iter().find(|row| row.get::<uuid::Uuid, _>("job_id") == job.0);
            let (status, actual) =
                row.map_or((String::new(), None::<String>), |r| (r.get("status"), r.get("failure_code")));
            let fine = match code {
                None => status == "done",
                Some(code) => {
                    status == "failed"
                        && actual.as_deref() == Some(*code)
                        && dead.contains(&(job.to_string(), (*code).to_owned()))
                }
            };
            if !fine {
                eprintln!("lost: {job} is `{status}` with {actual:?}; expected {code:?}");
                audit.lost += 1;
            }
        }
        for row in rows.iter().filter(|row| row.get::<String, _>("status") == "done") {
            match self.artifacts(rig, row).await {
                Ok(true) => {}
                Ok(false) => audit.duplicated += 1,
                Err(error) => {
                    eprintln!("lost: {error:#}");
                    audit.lost += 1;
                }
            }
        }
        let twice = "SELECT count(*) FROM (SELECT 1 FROM segments s JOIN analyses a USING (job_id) WHERE a.batch_id = $1 \
            GROUP BY s.job_id, s.channel, s.start_s HAVING count(*) > 1) AS repeated";
        let twice: i64 = sqlx::query_scalar(twice).bind(self.batch.0).fetch_one(rig.database.pool()).await?;
        audit.duplicated += twice as usize;
        let repeated = "SELECT count(*) FROM analyses WHERE batch_id = $1 AND (attempts > 1 OR retries > 0)";
        let repeated: i64 = sqlx::query_scalar(repeated).bind(self.batch.0).fetch_one(rig.database.pool()).await?;
        audit.repeated = repeated as usize;
        Ok(audit)
    }

    /// Whether the artifacts are there and say the same as the row.
    async fn artifacts(&self, rig: &Rig, row: &sqlx::postgres::PgRow) -> Result<bool> {
        let bucket: String = row.get("artifact_bucket");
        let emotion: Option<String> = row.get("emotion");
        // Without speech there is no embedding.
        for column in ["audio_key"].into_iter().chain(emotion.is_some().then_some("embedding_key")) {
            let key: String = row.get(column);
            rig.store.head(&bucket, &key).await?.with_context(|| format!("{key} is not there"))?;
        }
        let report: Report =
            serde_json::from_slice(&rig.store.get_bytes(&bucket, row.get("result_key"), 1 << 20).await?)?;
        let confidence = report.confidence.zip(row.get::<Option<f32>, _>("confidence"));
        Ok(report.emotion.map(domain::Emotion::label) == emotion.as_deref()
            && confidence.is_none_or(|(reported, stored)| (reported - stored).abs() < 1e-6))
    }
}
