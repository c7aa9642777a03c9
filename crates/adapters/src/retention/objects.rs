//! Deletes the objects of jobs.

use domain::{Failure, JobId};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::AddAssign;

use crate::postgres::Expired;
use crate::retry::{RetryPolicy, retry_while};
use crate::s3::{Settings, Store};

/// As error messages call the service.
const S3: &str = "the S3 store";

/// Jobs whose objects are deleted at once.
const JOBS_AT_ONCE: usize = 8;

/// Where the objects are, and which of them to delete.
pub(super) struct Objects {
    store: Store,
    settings: Settings,
    recordings: bool,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeletedObjects {
    /// Artifacts.
    pub artifacts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Recordings.
    pub recordings: u64,
    /// Recordings that were replaced by another version since: they are kept.
    pub changed: u64,
}

impl AddAssign for DeletedObjects {
    fn add_assign(&mut self, other: Self) {
        self.artifacts += other.artifacts;
        self.bytes += other.bytes;
        self.recordings += other.recordings;
        self.changed += other.changed;
    }
}

impl Objects {
    pub(super) fn open(settings: &Settings, recordings: bool) -> Result<Self, Failure> {
        Ok(Self { store: Store::new(settings)?, settings: settings.clone(), recordings })
    }

    /// Deletes the objects of these jobs, each job by itself. Waits for a store that is unreachable.
    pub(super) async fn delete(
        &self,
        jobs: &[Expired],
        policy: RetryPolicy,
    ) -> Vec<(JobId, Result<DeletedObjects, Failure>)> {
        let goes = |job: &&Expired| self.recordings && !job.recording_stays;
        let mut versions: HashMap<_, Vec<Option<&str>>> = HashMap::new();
        for job in jobs.iter().filter(goes) {
            versions.entry(place(job)).or_default().push(job.recording.etag.as_deref());
        }
        let (versions, mut seen) = (&versions, HashSet::new());
        let deletions: Vec<_> = jobs
            .iter()
            .map(|job| {
                // Two analyses of one version delete it once. Of several versions, the store has one: its job deletes it.
                let first = goes(&job) && seen.insert((place(job), job.recording.etag.as_deref()));
                let all = if first { versions.get(&place(job)).map(Vec::as_slice) } else { None };
                async move {
                    let outcome = retry_while(policy, S3, || self.delete_of(job, all)).await;
                    (job.job_id, outcome)
                }
            })
            .collect();
        stream::iter(deletions).buffer_unordered(JOBS_AT_ONCE).collect().await
    }

    /// `versions`: the etags under the recording's key that are being deleted; `None` keeps the recording.
    async fn delete_of(&self, job: &Expired, versions: Option<&[Option<&str>]>) -> Result<DeletedObjects, Failure> {
        let (bucket, folder) = self.folder(job);
        let mut deleted = DeletedObjects::default();
        let mut keys = BTreeSet::new();
        // An attempt that failed may have left objects that no row names.
        let mut found = self.store.list(bucket, &folder);
        while let Some(object) = found.try_next().await? {
            if !of_run(&object.key[folder.len().min(object.key.len())..], job.run) {
                continue;
            }
            deleted.artifacts += 1;
            deleted.bytes += object.bytes;
            keys.insert(object.key);
        }
        self.store.abort_uploads(bucket, &folder).await?;
        if let Some(artifacts) = &job.artifacts {
            keys.extend(artifacts.keys().cloned());
        }
        self.store.delete(bucket, &keys.into_iter().collect::<Vec<_>>()).await?;
        if let Some(versions) = versions {
            self.delete_recording(job, versions, &mut deleted).await?;
        }
        Ok(deleted)
    }

    /// Bucket and prefix of the job's artifacts: as they were when it was done, whatever the settings say now.
    fn folder<'a>(&'a self, job: &'a Expired) -> (&'a str, String) {
        let recorded = job.artifacts.as_ref().and_then(|artifacts| {
            // Never a prefix that others share. A job that was asked for again has its artifacts in a folder within.
            let (before, _) = artifacts.result_key.rsplit_once(&format!("/{}/", job.job_id))?;
            Some((artifacts.bucket.as_str(), format!("{before}/{}/", job.job_id)))
        });
        recorded.unwrap_or_else(|| (self.settings.artifact_bucket(), self.settings.artifact_folder(job.job_id)))
    }

    async fn delete_recording(
        &self,
        job: &Expired,
        versions: &[Option<&str>],
        deleted: &mut DeletedObjects,
    ) -> Result<(), Failure> {
        let recording = &job.recording;
        let Some(there) = self.store.head(&recording.bucket, &recording.key).await? else { return Ok(()) };
        if recording.etag.is_some() && there.etag.is_some() && recording.etag != there.etag {
            let another_deletes_it = versions.contains(&there.etag.as_deref()) || versions.contains(&None);
            deleted.changed += u64::from(!another_deletes_it && versions.first() == Some(&recording.etag.as_deref()));
            return Ok(());
        }
        self.store.delete(&recording.bucket, std::slice::from_ref(&recording.key)).await?;
        deleted.recordings += 1;
        Ok(())
    }
}

/// Bucket and key of the job's recording.
fn place(job: &Expired) -> (&str, &str) {
    (&job.recording.bucket, &job.recording.key)
}

/// Whether an object in a job's folder is of this run or an earlier one. What was asked for again since the rows were
/// claimed is in a folder of a later run.
fn of_run(name: &str, run: u32) -> bool {
    match name.split_once('/') {
        Some((folder, _)) => folder.parse::<u32>().is_ok_and(|number| number <= run),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::of_run;

    #[test]
    fn artifacts_of_later_runs_are_not_the_claimed_rows() {
        assert!(of_run("result.json", 0) && of_run("1/result.json", 1) && of_run("1/result.json", 3));
        assert!(!of_run("1/result.json", 0) && !of_run("2/result.json", 1));
    }
}
