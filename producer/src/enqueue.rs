//! `producer enqueue`: find recordings, register their jobs, publish them, record the confirmations.
//! After an interruption the same command continues: confirmed jobs are not sent again.

use adapters::amqp::Publisher;
use adapters::postgres::{Database, JOBS_PER_CHUNK, NewBatch};
use adapters::retry::{RetryPolicy, retry_while};
use domain::{AnalysisOptions, BatchId, Failure, Job, JobId, ObjectRef};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use settings::Settings;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cli::EnqueueArgs;
use crate::error::ProducerError;
use crate::manifest::Manifest;
use crate::meter::Meter;
use crate::recordings::{Recording, RecordingSource, Recordings, SkipCounts};
use crate::services::{self, POSTGRES, RABBITMQ};
use crate::source::Source;

/// Chunks in flight: while one is confirmed by the broker, the next goes to the database.
const CHUNKS_IN_FLIGHT: usize = 3;

/// What an enqueue did.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Name of the batch.
    pub batch: String,
    /// Recordings found.
    pub listed: u64,
    /// Their size, bytes.
    pub bytes: u64,
    /// Skipped, because their names don't look like audio.
    pub not_audio: u64,
    /// Uploaded first.
    pub uploaded: u64,
    /// Registered and confirmed before.
    pub known: u64,
    /// Published and confirmed now.
    pub enqueued: u64,
    /// Lines of the manifest that were wrong or named no recording.
    pub skipped_lines: u64,
    /// Files and keys that were left out, each for a reason that was told.
    pub left_out: u64,
    /// Time it took.
    pub took: Duration,
}

impl Summary {
    /// Jobs a second.
    pub fn rate(&self) -> f64 {
        self.listed as f64 / self.took.as_secs_f64().max(0.001)
    }
}

/// Enqueues by these arguments; a dry run only counts.
///
/// # Errors
/// [`ProducerError::Input`] before anything is enqueued; [`ProducerError::Service`].
pub async fn enqueue(
    settings: &Settings,
    args: &EnqueueArgs,
    policy: RetryPolicy,
    meter: Arc<Meter>,
) -> Result<Summary, ProducerError> {
    let begun = Instant::now();
    let sources = args.sources.iter().map(|s| Source::parse(s)).collect::<Result<Vec<_>, _>>()?;
    let manifest = match &args.manifest {
        Some(_) if sources.len() > 1 => {
            return Err(ProducerError::input("with --manifest there is one SOURCE, to which its keys are relative"));
        }
        Some(path) => Some(checked(Manifest::open(path, args.manifest_options())?, args, &meter).await?),
        None => None,
    };
    let bucket = match sources.first() {
        Some(Source::Prefix { bucket, .. }) => bucket.clone(),
        _ => settings.s3.bucket.clone(),
    };
    let name = args.batch.clone().unwrap_or_else(|| batch_name(settings, args, &sources));
    let batch = NewBatch { id: BatchId::from_name(&name), name: name.clone(), source: described(args) };

    let skips = Arc::new(SkipCounts::default());
    let recording_source = RecordingSource {
        store: services::store(settings, policy, &bucket).await?,
        policy,
        bucket,
        prefix: args.prefix.clone(),
        artifacts: (settings.s3.artifact_bucket().to_owned(), format!("{}/", settings.s3.artifact_prefix)),
        all: args.all,
        dry_run: args.dry_run,
        counts: skips.clone(),
        meter: meter.clone(),
    };
    let recordings = match &manifest {
        Some(manifest) => recording_source.of_manifest(manifest, sources.into_iter().next()),
        None => stream::iter(sources).map(move |source| recording_source.of_source(&source)).flatten().boxed(),
    };

    let counts = Arc::new(Counts::default());
    if args.dry_run {
        count_only(recordings, &counts, &meter).await?;
    } else {
        let enqueuer = Enqueuer {
            database: services::database(settings, policy).await?,
            publisher: services::broker(settings, policy).await?,
            model: settings.model.name.clone(),
            args,
            batch,
            policy,
            counts: counts.clone(),
        };
        enqueuer.run(recordings, &meter).await?;
        enqueuer.publisher.close().await;
    }
    meter.clear();
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Summary {
        batch: name,
        listed: of(&counts.listed),
        bytes: of(&counts.bytes),
        not_audio: of(&skips.not_audio),
        uploaded: of(&skips.uploaded),
        known: of(&counts.known),
        enqueued: of(&counts.enqueued),
        skipped_lines: of(&skips.lines),
        left_out: of(&skips.left_out),
        took: begun.elapsed(),
    })
}

/// Tells what the user should know of the manifest. With `--strict`, or without any good line, it is refused.
async fn checked(mut manifest: Manifest, args: &EnqueueArgs, meter: &Meter) -> Result<Manifest, ProducerError> {
    let findings = manifest.check().await?;
    let path = manifest.path().display();
    for notice in &findings.notices {
        meter.say(&format!("note      {path}: {notice}"));
    }
    if findings.bad > 0 && (args.strict || findings.good == 0) {
        let more = findings.bad - findings.reported.len() as u64;
        let more = if more > 0 { format!("\n... and {more} more") } else { String::new() };
        let (bad, lines) = (findings.bad, findings.bad + findings.good);
        return Err(ProducerError::input(format!(
            "{}{more}\n{bad} of {lines} lines are wrong; nothing was enqueued",
            findings.reported.join("\n"),
        )));
    }
    Ok(manifest)
}

/// By default a batch has the name of its source, like `calls/2026/11`, or of the manifest.
fn batch_name(settings: &Settings, args: &EnqueueArgs, sources: &[Source]) -> String {
    if let Some(stem) = args.manifest.as_ref().and_then(|m| m.file_stem()) {
        return stem.to_string_lossy().into_owned();
    }
    let place = |source: &Source| match source {
        Source::Prefix { bucket, prefix } => format!("{bucket}/{prefix}"),
        other => {
            let prefix = args.prefix.clone().unwrap_or_else(|| other.upload_prefix());
            format!("{}/{prefix}", settings.s3.bucket)
        }
    };
    sources.iter().map(|s| place(s).trim_end_matches('/').to_owned()).collect::<Vec<_>>().join(" + ")
}

fn described(args: &EnqueueArgs) -> String {
    let mut parts = args.sources.clone();
    parts.extend(args.manifest.as_ref().map(|m| format!("manifest {}", m.display())));
    parts.join(" ")
}

#[derive(Debug, Default)]
struct Counts {
    listed: AtomicU64,
    bytes: AtomicU64,
    known: AtomicU64,
    enqueued: AtomicU64,
}

impl Counts {
    fn found(&self, recordings: &[Recording]) {
        self.listed.fetch_add(recordings.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(recordings.iter().map(|r| r.object.bytes).sum(), Ordering::Relaxed);
    }
}

async fn count_only(recordings: Recordings, counts: &Counts, meter: &Meter) -> Result<(), ProducerError> {
    const SHOWN: u64 = 20;
    let mut recordings = recordings;
    while let Some(recording) = recordings.try_next().await? {
        let before = counts.listed.load(Ordering::Relaxed);
        if before < SHOWN {
            meter.say(&format!("would enqueue  s3://{}/{}", recording.bucket, recording.object.key));
        } else if before == SHOWN {
            meter.say("...");
        }
        counts.found(&[recording]);
    }
    Ok(())
}

/// Registers and publishes jobs, chunk by chunk.
struct Enqueuer<'a> {
    database: Database,
    publisher: Publisher,
    model: String,
    args: &'a EnqueueArgs,
    batch: NewBatch,
    policy: RetryPolicy,
    counts: Arc<Counts>,
}

impl Enqueuer<'_> {
    async fn run(&self, recordings: Recordings, meter: &Meter) -> Result<(), ProducerError> {
        let begun = Instant::now();
        // A chunk that an error cuts short is still enqueued; then the error is returned.
        let chunks = recordings.chunks(JOBS_PER_CHUNK);
        let work = chunks.map(|chunk| async move {
            let mut error = None;
            let mut good = Vec::with_capacity(chunk.len());
            for recording in chunk {
                match recording {
                    Ok(recording) => good.push(recording),
                    Err(e) => error = error.or(Some(e)),
                }
            }
            self.chunk(good).await?;
            error.map_or(Ok(()), Err)
        });
        let mut done = std::pin::pin!(work.buffered(CHUNKS_IN_FLIGHT));
        while done.try_next().await?.is_some() {
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let listed = of(&self.counts.listed);
            let rate = listed as f64 / begun.elapsed().as_secs_f64().max(0.001);
            let (known, enqueued) = (of(&self.counts.known), of(&self.counts.enqueued));
            meter.at(listed, None, &format!("{listed} found  {known} known  {enqueued} enqueued  {rate:.0}/s"));
        }
        Ok(())
    }

    async fn chunk(&self, recordings: Vec<Recording>) -> Result<(), ProducerError> {
        self.counts.found(&recordings);
        let jobs: Vec<Job> = recordings.into_iter().map(|r| self.job(r)).collect();
        for job in &jobs {
            // Call data was validated where it was read.
            job.object.validate().map_err(|f| ProducerError::input(format!("{}: {}", job.object.key, f.message)))?;
        }
        let register = || self.database.register(&self.batch, &jobs, self.args.force);
        // Each identity once, even where the chunk has the same recording twice.
        let wanted = retry_while(self.policy, POSTGRES, register).await?;
        self.counts.known.fetch_add((jobs.len() - wanted.len()) as u64, Ordering::Relaxed);
        let mut by_id: HashMap<JobId, Job> = jobs.into_iter().rev().map(|job| (job.job_id, job)).collect();
        let new = wanted.iter().filter_map(|id| by_id.remove(id)).collect();
        self.publish(new).await
    }

    /// Publishes until all are confirmed, and records each confirmation.
    async fn publish(&self, jobs: Vec<Job>) -> Result<(), ProducerError> {
        let open = tokio::sync::Mutex::new(jobs);
        retry_while(self.policy, RABBITMQ, || self.publish_open(&open)).await?;
        Ok(())
    }

    /// Publishes the open jobs, and removes those that are confirmed.
    async fn publish_open(&self, open: &tokio::sync::Mutex<Vec<Job>>) -> Result<(), Failure> {
        let mut jobs = open.lock().await;
        if jobs.is_empty() {
            return Ok(());
        }
        let results = self.publisher.publish_jobs(&jobs, self.args.lane).await;
        let sent = jobs.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let confirmed: Vec<JobId> = sent.map(|(job, _)| job.job_id).collect();
        retry_while(self.policy, POSTGRES, || self.database.mark_published(&confirmed)).await?;
        self.counts.enqueued.fetch_add(confirmed.len() as u64, Ordering::Relaxed);
        let mut unsent = results.iter().map(Result::is_err);
        jobs.retain(|_| unsent.next().unwrap_or(false));
        results.into_iter().find(Result::is_err).unwrap_or(Ok(()))
    }

    fn job(&self, recording: Recording) -> Job {
        let Recording { bucket, object, call, channels } = recording;
        let options = AnalysisOptions {
            model: self.model.clone(),
            channels: channels.or_else(|| self.args.channels.clone()),
            granularity: self.args.granularity,
            embedding: !self.args.no_embedding,
        };
        let object = ObjectRef { bucket, key: object.key, etag: object.etag };
        Job::new(self.batch.id, object, call, options, chrono::Utc::now())
    }
}
