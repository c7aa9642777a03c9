//! `producer enqueue`: find recordings, register their jobs, publish them, record the confirmations.
//! After an interruption the same command continues: confirmed jobs are not sent again.

pub(crate) mod batch_name;
pub(crate) mod enqueuer;
mod job_args;
pub(crate) mod registration;
mod report;

pub use job_args::JobArgs;
pub(crate) use report::run;

use adapters::boxed;
use adapters::postgres::NewBatch;
use adapters::retry::RetryPolicy;
use domain::{BatchId, JobId};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use settings::Settings;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cli::EnqueueArgs;
use crate::enqueue::batch_name::{impersonal, joined};
use crate::enqueue::enqueuer::{Counts, Enqueuer, LeftOut};
use crate::error::ProducerError;
use crate::manifest::Manifest;
use crate::meter::Meter;
use crate::services;
use crate::source::recordings::{RecordingSource, Recordings, SkipCounts};
use crate::source::{Source, looks_like_audio};

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
    /// Of the known jobs, those that another batch holds and that have not ended; only looked for with `--wait`.
    pub open_elsewhere: Vec<JobId>,
    /// Deleted before, and therefore left alone.
    pub forgotten: u64,
    /// Published and confirmed now.
    pub enqueued: u64,
    /// Lines of the manifest about a recording that another line names, too.
    pub repeated_lines: u64,
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
#[boxed]
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
        follow_links: args.follow_symlinks,
        counts: skips.clone(),
        meter: meter.clone(),
    };
    let object = match sources.as_slice() {
        [Source::Prefix { prefix, .. }] if looks_like_audio(prefix) && manifest.is_none() => args.sources.first(),
        _ => None,
    };
    let recordings = match &manifest {
        Some(manifest) => recording_source.of_manifest(manifest, sources.into_iter().next()),
        None => stream::iter(sources).map(move |source| recording_source.of_source(&source)).flatten().boxed(),
    };

    let open_elsewhere = (args.wait && !args.dry_run).then(Mutex::default);
    let counts = Arc::new(Counts { open_elsewhere, ..Counts::default() });
    if args.dry_run {
        count_only(recordings, &counts, &meter).await?;
    } else {
        let enqueuer = Enqueuer {
            database: services::database(settings, policy).await?,
            publisher: services::broker(settings, policy).await?,
            options: args.job.options(&settings.model.name),
            policy,
            counts: counts.clone(),
            left_out: LeftOut { skips: skips.clone(), meter: meter.clone() },
        };
        enqueuer.run(&batch, args.force, recordings, &meter).await?;
        enqueuer.publisher.close().await;
    }
    meter.clear();
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let elsewhere =
        counts.open_elsewhere.as_ref().map(|jobs| jobs.lock().unwrap_or_else(PoisonError::into_inner).clone());
    if let Some(object) = object
        && of(&counts.listed) + of(&skips.left_out) + of(&skips.not_audio) == 0
    {
        return Err(ProducerError::input(format!(
            "`{object}`: the store has no such object, and none whose key begins so"
        )));
    }
    Ok(Summary {
        batch: name,
        listed: of(&counts.listed),
        bytes: of(&counts.bytes),
        not_audio: of(&skips.not_audio),
        uploaded: of(&skips.uploaded),
        known: of(&counts.known),
        open_elsewhere: elsewhere.unwrap_or_default(),
        forgotten: of(&counts.forgotten),
        enqueued: of(&counts.enqueued),
        repeated_lines: of(&skips.repeated),
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

/// By default a batch has the name of its source, like `calls/2026/11`, or of the manifest; without a personal part.
fn batch_name(settings: &Settings, args: &EnqueueArgs, sources: &[Source]) -> String {
    if let Some(stem) = args.manifest.as_ref().and_then(|m| m.file_stem()) {
        return impersonal(&stem.to_string_lossy());
    }
    let place = |source: &Source| match source {
        Source::Prefix { bucket, prefix } => format!("{bucket}/{prefix}"),
        other => {
            let prefix = args.prefix.clone().unwrap_or_else(|| other.upload_prefix());
            format!("{}/{prefix}", settings.s3.bucket)
        }
    };
    joined(sources.iter().map(|s| impersonal(place(s).trim_end_matches('/'))), " + ")
}

fn described(args: &EnqueueArgs) -> String {
    let mut parts: Vec<String> = args.sources.iter().map(|source| impersonal(source)).collect();
    parts.extend(args.manifest.as_ref().map(|m| format!("manifest {}", impersonal(&m.display().to_string()))));
    joined(parts.into_iter(), " ")
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
