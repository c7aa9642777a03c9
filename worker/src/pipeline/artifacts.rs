//! The artifacts of one run of a job: uploaded under keys of its own, or deleted.

use adapters::s3::{self, Store};
use domain::report::Artifacts;
use domain::{Failure, FailureCode, Job, Report};
use std::path::Path;
use std::time::Instant;

use super::processor::ms;
use speech::artifacts::{AUDIO, EMBEDDING, RESULT};

/// The place of a run's artifacts. Attempts of one run share it; a repetition of a job that is done is another run.
pub(super) struct ArtifactFolder<'a> {
    store: &'a Store,
    bucket: &'a str,
    prefix: String,
}

impl<'a> ArtifactFolder<'a> {
    pub(super) fn new(store: &'a Store, settings: &'a s3::Settings, job: &Job, run: u32) -> Self {
        let (bucket, prefix) = (settings.artifact_bucket(), settings.run_folder(job.job_id, run));
        Self { store, bucket, prefix }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Uploads the files of `folder`. `result.json` comes last: once it is there, all are.
    pub(super) async fn upload(
        &self,
        report: &mut Report,
        folder: &Path,
        begun: Instant,
    ) -> Result<Artifacts, Failure> {
        let uploading = Instant::now();
        for (name, content_type) in [AUDIO, EMBEDDING] {
            let path = folder.join(name);
            if path.is_file() {
                self.store.put_file(self.bucket, &self.key(name), &path, content_type).await?;
            }
        }
        report.timings.upload_ms = ms(uploading.elapsed());
        report.timings.total_ms = ms(begun.elapsed());
        let body = serde_json::to_vec(&report)
            .map_err(|e| Failure::new(FailureCode::WorkerInternal, format!("result.json: {e}")))?;
        self.store.put_bytes(self.bucket, &self.key(RESULT.0), body, RESULT.1).await?;
        Ok(Artifacts {
            bucket: self.bucket.to_owned(),
            result_key: self.key(RESULT.0),
            audio_key: self.key(AUDIO.0),
            // There is none where there is no speech.
            embedding_key: folder.join(EMBEDDING.0).is_file().then(|| self.key(EMBEDDING.0)),
        })
    }

    /// Deletes what was uploaded. Only for a run that no row names and that no attempt can record any more.
    pub(super) async fn delete(&self) -> Result<(), Failure> {
        let keys = [AUDIO, EMBEDDING, RESULT].map(|(name, _)| self.key(name));
        self.store.delete(self.bucket, &keys).await
    }
}
