//! The artifacts of one run of a job: uploaded under keys of its own, or deleted.

use adapters::s3::{self, Store};
use domain::report::Artifacts;
use domain::{Failure, FailureCode, Job, Report};
use std::path::Path;
use tokio::time::Instant;

use super::processor::ms;
use speech::artifacts::{AudioFormat, EMBEDDING, RESULT};

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

    /// Uploads the files of `folder`, side by side. `result.json` comes last: once it is there, all are. `first`: no
    /// earlier attempt can have left anything here.
    pub(super) async fn upload(
        &self,
        report: &mut Report,
        folder: &Path,
        first: bool,
        begun: Instant,
    ) -> Result<Artifacts, Failure> {
        let uploading = Instant::now();
        if !first {
            self.abort_earlier_uploads().await?;
        }
        let audio = report.processed_audio.as_ref().and_then(|copy| AudioFormat::of(&copy.file));
        let put = |file| Box::pin(self.put(folder, file));
        let audio = async {
            match audio {
                Some(format) => put((format.file_name(), format.content_type())).await,
                None => Ok(None),
            }
        };
        let (audio_key, embedding_key) = tokio::try_join!(audio, put(EMBEDDING))?;
        report.timings.upload_ms = ms(uploading.elapsed());
        report.timings.total_ms = ms(begun.elapsed());
        let body = serde_json::to_vec(&report)
            .map_err(|e| Failure::new(FailureCode::WorkerInternal, format!("result.json: {e}")))?;
        self.store.put_bytes(self.bucket, &self.key(RESULT.0), body, RESULT.1).await?;
        Ok(Artifacts { bucket: self.bucket.to_owned(), result_key: self.key(RESULT.0), audio_key, embedding_key })
    }

    /// The key of this file, now that it is uploaded; `None` if the analysis left no such file.
    async fn put(&self, folder: &Path, (name, content_type): (&str, &str)) -> Result<Option<String>, Failure> {
        let (path, key) = (folder.join(name), self.key(name));
        if !path.is_file() {
            return Ok(None);
        }
        self.store.put_file(self.bucket, &key, &path, content_type).await?;
        Ok(Some(key))
    }

    /// Aborts uploads in parts that an attempt left open whose worker died: nothing else would ever find their parts. This
    /// attempt owns the row.
    async fn abort_earlier_uploads(&self) -> Result<(), Failure> {
        match self.store.abort_uploads(self.bucket, &self.prefix).await {
            // Workers may lack the right to list uploads: then pruning aborts them.
            Err(failure) if failure.is_unreachable() => Err(failure),
            Err(failure) => {
                tracing::debug!(%failure, "uploads of earlier attempts are not looked for");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Deletes audio copies of earlier attempts of this run, whose workers had another format set: no row names them. Only
    /// once the row is `done`, and names `kept`: before, a later attempt might name one.
    pub(super) async fn delete_other_audio(&self, kept: &Artifacts) {
        let keys = AudioFormat::ALL.iter().map(|format| self.key(format.file_name()));
        let keys: Vec<_> = keys.filter(|key| kept.audio_key.as_ref() != Some(key)).collect();
        if let Err(failure) = self.store.delete(self.bucket, &keys).await {
            tracing::warn!(%failure, "an audio copy of an earlier attempt may stay until the call is pruned");
        }
    }

    /// Deletes what was uploaded. Only for a run that no row names and that no attempt can record any more.
    pub(super) async fn delete(&self) -> Result<(), Failure> {
        let audio = AudioFormat::ALL.iter().map(|format| format.file_name());
        let keys: Vec<_> = audio.chain([EMBEDDING.0, RESULT.0]).map(|name| self.key(name)).collect();
        self.store.delete(self.bucket, &keys).await
    }
}
