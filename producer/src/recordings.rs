//! The recordings to enqueue, as a stream: from a listing, a folder that is uploaded, or a manifest. Only a few are in
//! memory at a time, whatever the number of keys.

use adapters::retry::{RetryPolicy, retry_while};
use adapters::s3::{ObjectInfo, Store};
use domain::{CallData, ChannelLayout, Failure, FailureCode, ObjectRef};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

use crate::error::ProducerError;
use crate::folder::{self, Found, LocalFile};
use crate::manifest::{Entry, Line, Manifest};
use crate::meter::Meter;
use crate::services::S3;
use crate::source::{Source, looks_like_audio, upload_prefix};
use crate::upload::{UPLOADS, Uploader};

/// Lines of a manifest whose objects are looked up at the same time.
const LOOKUPS: usize = 32;

/// A recording to be enqueued.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) bucket: String,
    pub(crate) object: ObjectInfo,
    pub(crate) call: CallData,
    pub(crate) channels: Option<ChannelLayout>,
}

/// Finds the recordings of a command.
#[derive(Debug, Clone)]
pub(crate) struct RecordingSource {
    pub(crate) store: Store,
    pub(crate) policy: RetryPolicy,
    /// Bucket of uploads, and of manifests without a source.
    pub(crate) bucket: String,
    /// Prefix of uploads, where the user gave one.
    pub(crate) prefix: Option<String>,
    /// Bucket and prefix (with its `/`) of artifacts, which are never recordings.
    pub(crate) artifacts: (String, String),
    /// Takes files whose names do not look like audio, too.
    pub(crate) all: bool,
    pub(crate) dry_run: bool,
    pub(crate) counts: Arc<SkipCounts>,
    pub(crate) meter: Arc<Meter>,
}

/// What was skipped, and what was uploaded.
#[derive(Debug, Default)]
pub(crate) struct SkipCounts {
    /// Skipped by their names.
    pub(crate) not_audio: AtomicU64,
    /// Uploaded.
    pub(crate) uploaded: AtomicU64,
    /// Lines of the manifest that are wrong, or name no recording.
    pub(crate) lines: AtomicU64,
    /// Files and keys that can't be taken.
    pub(crate) left_out: AtomicU64,
}

/// A line of the manifest, looked up.
enum Lookup {
    Found(Box<Recording>),
    /// There is no such recording.
    Missing {
        why: String,
    },
}

pub(crate) type Recordings = BoxStream<'static, Result<Recording, ProducerError>>;

impl RecordingSource {
    /// All recordings of a source.
    pub(crate) fn of_source(&self, source: &Source) -> Recordings {
        match source {
            Source::Prefix { bucket, prefix } => self.listed(bucket.clone(), prefix),
            Source::Folder(path) => {
                let prefix = self.upload_prefix(source);
                self.uploaded(received(folder::files(path)).boxed(), prefix)
            }
            Source::File(path) => {
                let prefix = self.upload_prefix(source);
                let file = local_file(path, None).map(Ok);
                self.uploaded(stream::once(async { file }).boxed(), prefix)
            }
        }
    }

    fn upload_prefix(&self, source: &Source) -> String {
        upload_prefix(self.prefix.as_deref(), source)
    }

    fn listed(&self, bucket: String, prefix: &str) -> Recordings {
        let this = self.clone();
        let found = self.store.list(&bucket, prefix).map_err(ProducerError::from);
        let wanted = found.try_filter_map(move |object| {
            let wanted = this.wanted(&bucket, &object);
            let bucket = bucket.clone();
            let recording = wanted.then_some(()).and_then(|()| match ObjectRef::validate_key(&object.key) {
                Ok(()) => Some(()),
                Err(failure) => {
                    this.leave_out(&format!("s3://{bucket}/{}: {}", object.key, failure.message));
                    None
                }
            });
            let recording = recording.map(|()| Recording { bucket, object, call: CallData::default(), channels: None });
            async move { Ok(recording) }
        });
        wanted.boxed()
    }

    /// Whether a listed object is a recording, by its name.
    fn wanted(&self, bucket: &str, object: &ObjectInfo) -> bool {
        let (artifact_bucket, artifact_prefix) = &self.artifacts;
        if object.key.ends_with('/') || (bucket == artifact_bucket && object.key.starts_with(artifact_prefix.as_str()))
        {
            return false;
        }
        self.takes(&object.key)
    }

    fn takes(&self, name: &str) -> bool {
        let takes = self.all || looks_like_audio(name);
        if !takes {
            self.counts.not_audio.fetch_add(1, Ordering::Relaxed);
        }
        takes
    }

    fn uploaded(&self, files: BoxStream<'static, Result<Found, ProducerError>>, prefix: String) -> Recordings {
        let this = self.clone();
        let chosen = files.try_filter_map(move |found| {
            let file = match found {
                Ok(file) => this.takes(&file.key).then_some(file),
                Err(why) => {
                    this.leave_out(&why);
                    None
                }
            };
            async move { Ok(file) }
        });
        let (this, uploader) = (self.clone(), self.uploader(prefix));
        let uploads = chosen.map(move |file| {
            let (this, uploader) = (this.clone(), uploader.clone());
            async move {
                let file = file?;
                match this.upload(&uploader, &file, CallData::default(), None).await? {
                    Lookup::Found(recording) => Ok(Some(*recording)),
                    Lookup::Missing { why } => {
                        this.leave_out(&why);
                        Ok(None)
                    }
                }
            }
        });
        uploads.buffer_unordered(UPLOADS).try_filter_map(async |found| Ok(found)).boxed()
    }

    fn leave_out(&self, why: &str) {
        self.counts.left_out.fetch_add(1, Ordering::Relaxed);
        self.meter.say(&format!("left out  {why}"));
    }

    /// What a failure of one key means: that one is left out, unless the service as a whole is at fault.
    async fn left_out(&self, what: &str, failure: Failure) -> Result<Lookup, ProducerError> {
        let of_the_entry = match failure.code {
            FailureCode::WorkerInternal | FailureCode::ObjectNotFound | FailureCode::JobInvalid => true,
            // Some stores say 400 to expired credentials, too: then they say it to every request.
            FailureCode::StoreRefused => self.store.ping(&self.bucket).await.is_ok(),
            _ => false,
        };
        if of_the_entry {
            Ok(Lookup::Missing { why: format!("{what}: {}", failure.message) })
        } else {
            Err(failure.into())
        }
    }

    fn uploader(&self, prefix: String) -> Uploader {
        Uploader { store: self.store.clone(), bucket: self.bucket.clone(), prefix, policy: self.policy }
    }

    async fn upload(
        &self,
        uploader: &Uploader,
        file: &LocalFile,
        call: CallData,
        channels: Option<ChannelLayout>,
    ) -> Result<Lookup, ProducerError> {
        if let Err(failure) = ObjectRef::validate_key(&uploader.key(file)) {
            return self.left_out(&file.path.display().to_string(), failure).await;
        }
        let object = if self.dry_run {
            ObjectInfo { key: uploader.key(file), etag: None, bytes: file.bytes, modified: None }
        } else {
            let done = match uploader.upload(file).await {
                Ok(done) => done,
                Err(failure) => return self.left_out(&file.path.display().to_string(), failure).await,
            };
            if done.sent {
                self.counts.uploaded.fetch_add(1, Ordering::Relaxed);
            }
            done.object
        };
        Ok(Lookup::Found(Box::new(Recording { bucket: self.bucket.clone(), object, call, channels })))
    }

    /// The recordings that a manifest names, relative to `source`. Missing ones are reported and skipped.
    pub(crate) fn of_manifest(&self, manifest: &Manifest, source: Option<Source>) -> Recordings {
        let (this, path) = (self.clone(), manifest.path().to_owned());
        let source = source.unwrap_or_else(|| Source::Prefix { bucket: self.bucket.clone(), prefix: String::new() });
        let uploader = self.uploader(self.upload_prefix(&source));
        let entries = received(manifest.entries());
        let looked_up = entries.map(move |line| {
            let (this, source, uploader, path) = (this.clone(), source.clone(), uploader.clone(), path.clone());
            async move {
                let entry = match line? {
                    Line::Entry(entry) => entry,
                    Line::Bad(bad) => {
                        this.skip(&path, bad.line, &bad.what);
                        return Ok(None);
                    }
                };
                let line = entry.line;
                let lookup = match &source {
                    Source::Prefix { bucket, prefix } => this.look_up(bucket, prefix, entry).await,
                    Source::Folder(folder) | Source::File(folder) => this.send(&uploader, folder, entry).await,
                }?;
                match lookup {
                    Lookup::Found(recording) => Ok(Some(*recording)),
                    Lookup::Missing { why } => {
                        this.skip(&path, line, &why);
                        Ok(None)
                    }
                }
            }
        });
        looked_up.buffered(LOOKUPS).try_filter_map(async |found| Ok(found)).boxed()
    }

    fn skip(&self, path: &Path, line: u64, what: &str) {
        self.counts.lines.fetch_add(1, Ordering::Relaxed);
        self.meter.say(&format!("skipped   {}:{line}: {what}", path.display()));
    }

    /// Finds an entry's object in the bucket.
    async fn look_up(&self, bucket: &str, prefix: &str, entry: Entry) -> Result<Lookup, ProducerError> {
        let missing = |why: String| Ok(Lookup::Missing { why });
        let full = match entry.key.strip_prefix("s3://").and_then(|place| place.split_once('/')) {
            Some((named, key)) if named == bucket => key.to_owned(),
            Some((named, _)) => return missing(format!("the key is in bucket `{named}`, the source is in `{bucket}`")),
            None if prefix.is_empty() || prefix.ends_with('/') => format!("{prefix}{}", entry.key),
            None => format!("{prefix}/{}", entry.key),
        };
        let found = match retry_while(self.policy, S3, || self.store.head(bucket, &full)).await {
            Ok(found) => found,
            Err(failure) => return self.left_out(&format!("s3://{bucket}/{full}"), failure).await,
        };
        let Some(object) = found else { return missing(format!("there is no object s3://{bucket}/{full}")) };
        let Entry { call, channels, .. } = entry;
        Ok(Lookup::Found(Box::new(Recording { bucket: bucket.to_owned(), object, call, channels })))
    }

    /// Finds an entry's file below the folder, and uploads it.
    async fn send(&self, uploader: &Uploader, folder: &Path, entry: Entry) -> Result<Lookup, ProducerError> {
        let Entry { key, call, channels, .. } = entry;
        if Path::new(&key).components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
            return Ok(Lookup::Missing { why: format!("`{key}` is not a plain path below the folder") });
        }
        match local_file(&folder.join(&key), Some(&key)) {
            Ok(file) => self.upload(uploader, &file, call, channels).await,
            Err(absent) => Ok(Lookup::Missing { why: absent.to_string() }),
        }
    }
}

fn local_file(path: &Path, key: Option<&str>) -> Result<LocalFile, ProducerError> {
    let wrong = |what: &str| ProducerError::input(format!("{}: {what}", path.display()));
    let found = std::fs::metadata(path).map_err(|e| wrong(&e.to_string()))?;
    if !found.is_file() {
        return Err(wrong("is not a file"));
    }
    let name = || path.file_name().and_then(std::ffi::OsStr::to_str).map(str::to_owned);
    let key = key.map(str::to_owned).or_else(name).ok_or_else(|| wrong("the name is not UTF-8: rename the file"))?;
    Ok(LocalFile { path: PathBuf::from(path), key, bytes: found.len() })
}

fn received<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl futures_util::Stream<Item = T> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}
