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
use crate::manifest::{Entry, Line, Manifest};
use crate::meter::Meter;
use crate::services::S3;
use crate::source::folder::{Found, LocalFile, MOST_COUNTED, Tree};
use crate::source::index::{Indexed, ObjectIndex};
use crate::source::upload::{UPLOADS, Uploader};
use crate::source::{Source, full_key, looks_like_audio, upload_prefix};

/// Lines of a manifest whose objects are looked up at the same time.
const LOOKUPS: usize = 32;

/// A recording to be enqueued.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) bucket: String,
    pub(crate) object: ObjectInfo,
    pub(crate) call: CallData,
    pub(crate) channels: Option<ChannelLayout>,
    /// An earlier one was of the same object.
    pub(crate) repeated: bool,
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
    /// Follows links out of a source folder.
    pub(crate) follow_links: bool,
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
    /// Lines of the manifest about a recording that another line names.
    pub(crate) repeated: AtomicU64,
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
                let (this, uploader, path) = (self.clone(), self.uploader(self.upload_prefix(source)), path.clone());
                let planned = async move {
                    let tree = Tree::open(&path, this.follow_links)?;
                    let index = this.index_of_uploads(&uploader, tree.count(MOST_COUNTED).await).await?;
                    Ok::<_, ProducerError>(this.uploaded(received(tree.files()).boxed(), uploader, index))
                };
                stream::once(planned).try_flatten().boxed()
            }
            Source::File(path) => {
                let file = local_file(path).map(Ok);
                let uploader = self.uploader(self.upload_prefix(source));
                self.uploaded(stream::once(async { file }).boxed(), uploader, Arc::default())
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
            let recording = recording.map(|()| Recording::of(&bucket, object));
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

    fn uploaded(
        &self,
        files: BoxStream<'static, Result<Found, ProducerError>>,
        uploader: Uploader,
        index: Arc<ObjectIndex>,
    ) -> Recordings {
        let this = self.clone();
        let chosen = files.try_filter_map(move |found| {
            let file = match found {
                Ok(file) => this.takes(&file.key).then_some(file),
                Err(refused) => {
                    if refused.key.is_none_or(|key| this.takes(&key)) {
                        this.leave_out(&refused.why);
                    }
                    None
                }
            };
            async move { Ok(file) }
        });
        let this = self.clone();
        let uploads = chosen.map(move |file| {
            let (this, uploader, index) = (this.clone(), uploader.clone(), index.clone());
            async move {
                let file = file?;
                match this.upload(&uploader, &index, &file).await? {
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

    /// What a failure to upload one file means: that one is left out, unless the service as a whole is at fault. A denied
    /// upload says that nothing may be written.
    async fn not_uploaded(&self, what: &str, failure: Failure) -> Result<Lookup, ProducerError> {
        let of_the_file = match failure.code {
            FailureCode::WorkerInternal | FailureCode::ObjectNotFound | FailureCode::JobInvalid => true,
            // Some stores say 400 to expired credentials, too: then they say it to every request.
            FailureCode::StoreRefused => self.store.ping(&self.bucket).await.is_ok(),
            _ => false,
        };
        if of_the_file {
            Ok(Lookup::Missing { why: format!("{what}: {}", failure.message) })
        } else {
            Err(failure.into())
        }
    }

    /// The same for an object that is looked up.
    async fn not_found(&self, bucket: &str, key: &str, failure: Failure) -> Result<Lookup, ProducerError> {
        if is_of_one_object(&self.store, bucket, key, &failure).await {
            Ok(Lookup::Missing { why: format!("s3://{bucket}/{key}: {}", failure.message) })
        } else {
            Err(failure.into())
        }
    }

    fn uploader(&self, prefix: String) -> Uploader {
        Uploader::new(self.store.clone(), self.bucket.clone(), prefix, self.policy)
    }

    /// What is there already of the uploads.
    async fn index_of_uploads(&self, uploader: &Uploader, files: u64) -> Result<Arc<ObjectIndex>, ProducerError> {
        if self.dry_run {
            return Ok(Arc::default());
        }
        let prefixes = [(uploader.prefix.clone(), files)];
        let list = || ObjectIndex::of(&self.store, &self.bucket, &prefixes, |_| true, &self.meter);
        Ok(Arc::new(retry_while(self.policy, S3, list).await?))
    }

    async fn upload(
        &self,
        uploader: &Uploader,
        index: &ObjectIndex,
        file: &LocalFile,
    ) -> Result<Lookup, ProducerError> {
        if let Err(failure) = ObjectRef::validate_key(&uploader.key(file)) {
            return self.not_uploaded(&file.path.display().to_string(), failure).await;
        }
        let object = if self.dry_run {
            ObjectInfo { key: uploader.key(file), etag: None, bytes: file.bytes, modified: None }
        } else {
            let done = match uploader.upload(file, index).await {
                Ok(done) => done,
                Err(failure) => return self.not_uploaded(&file.path.display().to_string(), failure).await,
            };
            if done.sent {
                self.counts.uploaded.fetch_add(1, Ordering::Relaxed);
            }
            done.object
        };
        Ok(Lookup::Found(Box::new(Recording::of(&self.bucket, object))))
    }

    /// The recordings that a manifest names, relative to `source`. Missing ones are reported and skipped.
    pub(crate) fn of_manifest(&self, manifest: &Manifest, source: Option<Source>) -> Recordings {
        let (this, manifest) = (self.clone(), manifest.clone());
        let source = source.unwrap_or_else(|| Source::Prefix { bucket: self.bucket.clone(), prefix: String::new() });
        let uploader = self.uploader(self.upload_prefix(&source));
        let planned = async move {
            let index = match &source {
                Source::Prefix { bucket, prefix } => this.index_of_manifest(&manifest, bucket, prefix).await?,
                Source::Folder(_) | Source::File(_) => {
                    let lines = manifest.prefixes().iter().map(|(_, lines)| lines).sum();
                    this.index_of_uploads(&uploader, lines).await?
                }
            };
            Ok::<_, ProducerError>(this.entries(&manifest, Arc::new(Where { source, uploader, index })))
        };
        stream::once(planned).try_flatten().boxed()
    }

    /// What a manifest's keys are, by listing where that is cheaper than a request for each.
    async fn index_of_manifest(
        &self,
        manifest: &Manifest,
        bucket: &str,
        prefix: &str,
    ) -> Result<Arc<ObjectIndex>, ProducerError> {
        let place = |(spelled, lines): (String, u64)| Some((full_key(bucket, prefix, &spelled).ok()?, lines));
        let prefixes: Vec<(String, u64)> = manifest.prefixes().into_iter().filter_map(place).collect();
        let base = full_key(bucket, prefix, "").unwrap_or_default();
        let wanted = |key: &str| {
            key.strip_prefix(&base).is_some_and(|key| manifest.names(key))
                || manifest.names(&format!("s3://{bucket}/{key}"))
        };
        let list = || ObjectIndex::of(&self.store, bucket, &prefixes, wanted, &self.meter);
        Ok(Arc::new(retry_while(self.policy, S3, list).await?))
    }

    fn entries(&self, manifest: &Manifest, place: Arc<Where>) -> Recordings {
        let (this, path) = (self.clone(), manifest.path().to_owned());
        let looked_up = received(manifest.entries()).map(move |line| {
            let (this, place, path) = (this.clone(), place.clone(), path.clone());
            async move {
                let entry = match line? {
                    Line::Entry(entry) => entry,
                    Line::Bad(bad) => {
                        this.skip(&path, bad.line, 1, &bad.what);
                        return Ok(None);
                    }
                };
                let (line, lines) = (entry.line, entry.lines);
                let lookup = match &place.source {
                    Source::Prefix { bucket, prefix } => this.look_up(bucket, prefix, &entry.key, &place.index).await,
                    Source::Folder(folder) | Source::File(folder) => this.send(&place, folder, &entry.key).await,
                }?;
                match lookup {
                    Lookup::Found(recording) => {
                        let others = lines - u64::from(!entry.repeated);
                        this.counts.repeated.fetch_add(others, Ordering::Relaxed);
                        let Entry { call, channels, repeated, .. } = entry;
                        Ok(Some(Recording { call, channels, repeated, ..*recording }))
                    }
                    Lookup::Missing { why } => {
                        this.skip(&path, line, lines, &why);
                        Ok(None)
                    }
                }
            }
        });
        looked_up.buffered(LOOKUPS).try_filter_map(async |found| Ok(found)).boxed()
    }

    fn skip(&self, path: &Path, line: u64, lines: u64, what: &str) {
        self.counts.lines.fetch_add(lines, Ordering::Relaxed);
        self.meter.say(&format!("skipped   {}:{line}: {what}", path.display()));
    }

    /// Finds an entry's object in the bucket. What is not in the index is looked for: it may be there by now.
    async fn look_up(
        &self,
        bucket: &str,
        prefix: &str,
        key: &str,
        index: &ObjectIndex,
    ) -> Result<Lookup, ProducerError> {
        let full = match full_key(bucket, prefix, key) {
            Ok(full) => full,
            Err(why) => return Ok(Lookup::Missing { why }),
        };
        if let Indexed::Object(object) = index.look(&full) {
            return Ok(Lookup::Found(Box::new(Recording::of(bucket, object))));
        }
        match retry_while(self.policy, S3, || self.store.head(bucket, &full)).await {
            Ok(Some(object)) => Ok(Lookup::Found(Box::new(Recording::of(bucket, object)))),
            Ok(None) => Ok(Lookup::Missing { why: format!("there is no object s3://{bucket}/{full}") }),
            Err(failure) => self.not_found(bucket, &full, failure).await,
        }
    }

    /// Finds an entry's file below the folder, and uploads it.
    async fn send(&self, place: &Where, folder: &Path, key: &str) -> Result<Lookup, ProducerError> {
        if Path::new(key).components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
            return Ok(Lookup::Missing { why: format!("`{key}` is not a plain path below the folder") });
        }
        match Tree::open(folder, self.follow_links)?.file(key) {
            Ok(file) => self.upload(&place.uploader, &place.index, &file).await,
            Err(refused) => Ok(Lookup::Missing { why: refused.why }),
        }
    }
}

/// Whether a failure to look an object up is that of this object alone: its key is none, or it is encrypted by a foreign key,
/// say, or denied by a policy, while others beside it can be looked at.
pub(crate) async fn is_of_one_object(store: &Store, bucket: &str, key: &str, failure: &Failure) -> bool {
    match failure.code {
        FailureCode::JobInvalid => true,
        // Some stores say 400 to expired credentials, too: then they say it to every request.
        FailureCode::StoreRefused => store.ping(bucket).await.is_ok(),
        // Who may list a bucket may still be denied all that is in it.
        FailureCode::StoreDenied => store.probe_read((bucket, key), true, None).await.is_ok(),
        _ => false,
    }
}

/// Where the entries of a manifest are.
struct Where {
    source: Source,
    uploader: Uploader,
    index: Arc<ObjectIndex>,
}

impl Recording {
    /// A recording of which nothing is known besides its object.
    pub(crate) fn of(bucket: &str, object: ObjectInfo) -> Self {
        Self { bucket: bucket.to_owned(), object, call: CallData::default(), channels: None, repeated: false }
    }
}

/// The file that the user names: wherever it is.
fn local_file(path: &Path) -> Result<LocalFile, ProducerError> {
    let wrong = |what: &str| ProducerError::input(format!("{}: {what}", path.display()));
    let found = std::fs::metadata(path).map_err(|e| wrong(&e.to_string()))?;
    if !found.is_file() {
        return Err(wrong("is not a file"));
    }
    let name = path.file_name().and_then(std::ffi::OsStr::to_str);
    let key = name.ok_or_else(|| wrong("the name is not UTF-8: rename the file"))?.to_owned();
    Ok(LocalFile { path: PathBuf::from(path), key, bytes: found.len(), tree: None })
}

fn received<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl futures_util::Stream<Item = T> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}
