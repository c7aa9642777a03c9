//! Uploads local files, except those that the store has already.

use adapters::retry::{RetryPolicy, retry_while};
use adapters::s3::{ObjectInfo, Store};
use domain::{Failure, FailureCode};
use md5::{Digest, Md5};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;

use crate::services::S3;
use crate::source::content_type;
use crate::source::folder::LocalFile;
use crate::source::index::{Indexed, ObjectIndex};

/// Uploads of small files in flight; a larger one counts as several.
pub(crate) const UPLOADS: usize = 32;
/// Files below this size are small, bytes; above it, two are in the place of four.
const SMALL: u64 = 512 * 1024;
/// Above this size, one is in the place of four: each has parts of its own in flight.
const LARGE: u64 = 4 * 1024 * 1024;

/// Where uploads go.
#[derive(Debug, Clone)]
pub(crate) struct Uploader {
    pub(crate) store: Store,
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) policy: RetryPolicy,
    slots: Arc<Semaphore>,
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uploaded {
    pub(crate) object: ObjectInfo,
    /// False: it was there already.
    pub(crate) sent: bool,
}

impl Uploader {
    pub(crate) fn new(store: Store, bucket: String, prefix: String, policy: RetryPolicy) -> Self {
        Self { store, bucket, prefix, policy, slots: Arc::new(Semaphore::new(UPLOADS)) }
    }

    pub(crate) fn key(&self, file: &LocalFile) -> String {
        format!("{}{}", self.prefix, file.key)
    }

    /// Uploads, unless the same bytes are under that key already. Asks the store only for what the index does not know.
    pub(crate) async fn upload(&self, file: &LocalFile, index: &ObjectIndex) -> Result<Uploaded, Failure> {
        let key = self.key(file);
        // The semaphore is never closed.
        let _slots = self.slots.acquire_many(weight(file.bytes)).await;
        retry_while(self.policy, S3, || self.try_upload(file, &key, index)).await
    }

    async fn try_upload(&self, file: &LocalFile, key: &str, index: &ObjectIndex) -> Result<Uploaded, Failure> {
        let opening = file.clone();
        let opened = tokio::task::spawn_blocking(move || opening.open()).await.map_err(|e| e.to_string()).flatten();
        let opened = opened.map_err(|why| Failure::new(FailureCode::WorkerInternal, why))?;
        let path = opened.path();
        let present = match index.look(key) {
            Indexed::Object(object) => Some(object),
            Indexed::Absent => None,
            Indexed::Unknown => self.store.head(&self.bucket, key).await?,
        };
        if let Some(object) = present
            && object.bytes == file.bytes
            && same(&path, object.etag.as_deref(), self.store.part_bytes(file.bytes)).await
        {
            return Ok(Uploaded { object, sent: false });
        }
        let etag = self.store.put_file(&self.bucket, key, &path, content_type(&file.key)).await?;
        let etag = (!etag.is_empty()).then_some(etag);
        let object = ObjectInfo { key: key.to_owned(), etag, bytes: file.bytes, modified: None };
        Ok(Uploaded { object, sent: true })
    }
}

/// Slots of an upload.
fn weight(bytes: u64) -> u32 {
    match bytes {
        ..SMALL => 1,
        SMALL..LARGE => 2,
        LARGE.. => 4,
    }
}

/// Whether the file's content is what the object's etag says: its MD5, or for objects put in parts the MD5 of those of the
/// parts, and their number. Parts of another size than ours can't be compared.
async fn same(path: &Path, etag: Option<&str>, part_bytes: u64) -> bool {
    let Some(etag) = etag.map(str::to_lowercase) else { return false };
    let path = path.to_owned();
    let sum = tokio::task::spawn_blocking(move || match etag.split_once('-') {
        None => md5_of(&path).is_ok_and(|sum| sum == etag),
        Some((_, parts)) => parts_of(&path, part_bytes).is_ok_and(|(sums, count)| {
            parts == count.to_string() && etag == format!("{}-{count}", content_hash(&sums))
        }),
    });
    sum.await.unwrap_or(false)
}

/// The MD5s of a file's parts, one behind the other, and how many they are.
fn parts_of(path: &Path, part_bytes: u64) -> std::io::Result<(Vec<u8>, u64)> {
    let mut file = std::fs::File::open(path)?;
    let (mut sums, mut count) = (Vec::new(), 0);
    loop {
        let mut sum = Md5::new();
        if std::io::copy(&mut (&mut file).take(part_bytes), &mut Hashing(&mut sum))? == 0 {
            return Ok((sums, count));
        }
        sums.extend(sum.finalize());
        count += 1;
    }
}

/// Writes into a sum.
struct Hashing<'a>(&'a mut Md5);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The MD5 of a content, as stores write it into etags.
pub(crate) fn content_hash(content: &[u8]) -> String {
    hex(Md5::new_with_prefix(content))
}

fn md5_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut sum = Md5::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sum.update(&buffer[..read]);
    }
    Ok(hex(sum))
}

fn hex(sum: Md5) -> String {
    sum.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
