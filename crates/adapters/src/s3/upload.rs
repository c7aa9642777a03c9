//! Uploads of files: in one request, or in parts when large.

use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, MultipartUpload};
use domain::Failure;
use futures_util::{StreamExt, TryStreamExt};
use std::path::Path;
use tokio::io::AsyncReadExt;

use super::Store;
use super::failures::{failure, status};
use super::probe::etag_of;
use crate::boxed;

/// Files up to this size are read at once, and sent within the usual time limits, bytes.
const IN_MEMORY: u64 = 64 * 1024;
/// Parts in flight at once.
const PARTS_IN_FLIGHT: usize = 4;
/// Most parts of one upload, by S3's own rule.
const MOST_PARTS: u64 = 10_000;

/// Destination of an upload.
#[derive(Clone, Copy)]
struct Target<'a> {
    bucket: &'a str,
    key: &'a str,
    path: &'a Path,
    content_type: &'a str,
}

impl Store {
    /// Uploads a file; above `s3.part_mib` in parts, several at once. A failed upload leaves nothing behind. Returns the
    /// etag.
    ///
    /// # Errors
    /// `store.unreachable`, `store.denied`; `worker.internal` when the file can't be read.
    #[boxed]
    pub async fn put_file(&self, bucket: &str, key: &str, path: &Path, content_type: &str) -> Result<String, Failure> {
        let target = Target { bucket, key, path, content_type };
        let reading = |e: std::io::Error| Failure::disk(&format!("reading {}", path.display()), &e);
        let bytes = tokio::fs::metadata(path).await.map_err(reading)?.len();
        if bytes <= self.part_bytes { self.put_whole(target, bytes).await } else { self.put_parts(target, bytes).await }
    }

    /// Size of the parts in which [`Self::put_file`] sends a file of this size, bytes; the last one may be shorter.
    pub fn part_bytes(&self, bytes: u64) -> u64 {
        self.part_bytes.max(bytes.div_ceil(MOST_PARTS))
    }

    /// Uploads in parts below `prefix` that are open, as key and id: those of a program that died stay so.
    ///
    /// # Errors
    /// `store.unreachable`, `store.denied`. A store that can't list uploads has none.
    #[boxed]
    pub async fn open_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<(String, String)>, Failure> {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let (key, id): (Option<String>, Option<String>) = marker.unzip();
            let request = self.client.list_multipart_uploads().bucket(bucket).prefix(prefix);
            let listed = match request.set_key_marker(key).set_upload_id_marker(id).send().await {
                Ok(listed) => listed,
                Err(e) if matches!(status(&e), Some(404 | 405 | 501)) => return Ok(Vec::new()),
                Err(e) => return Err(failure(&format!("listing uploads below {bucket}/{prefix}"), &e)),
            };
            let named = |upload: &MultipartUpload| Some((upload.key()?.to_owned(), upload.upload_id()?.to_owned()));
            let before = found.len();
            found.extend(listed.uploads().iter().filter_map(named).filter(|(key, _)| key.starts_with(prefix)));
            marker = listed.next_key_marker().zip(listed.next_upload_id_marker()).map(|(k, i)| (k.into(), i.into()));
            // A store that announces more and gives none ends the list as well.
            if listed.is_truncated() != Some(true) || marker.is_none() || found.len() == before {
                return Ok(found);
            }
        }
    }

    /// Aborts uploads in parts below `prefix` that are open: their parts are in no listing of objects, and would stay.
    ///
    /// # Errors
    /// As [`Self::open_uploads`].
    #[boxed]
    pub async fn abort_uploads(&self, bucket: &str, prefix: &str) -> Result<(), Failure> {
        for (key, id) in self.open_uploads(bucket, prefix).await? {
            match self.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await {
                Ok(_) => {}
                // Ended meanwhile.
                Err(e) if status(&e) == Some(404) => {}
                Err(e) => return Err(failure(&format!("aborting an upload below {bucket}/{prefix}"), &e)),
            }
        }
        Ok(())
    }

    async fn put_whole(&self, to: Target<'_>, bytes: u64) -> Result<String, Failure> {
        let doing = format!("uploading to `{}`", to.bucket);
        let request = self.client.put_object().bucket(to.bucket).key(to.key).content_type(to.content_type);
        let body = if bytes <= IN_MEMORY {
            let read = read(to.path, bytes).await;
            ByteStream::from(read.map_err(|e| Failure::disk(&format!("reading {}", to.path.display()), &e))?)
        } else {
            slice(to.path, 0, bytes).await?
        };
        let mut request = request.body(body).customize();
        if bytes > IN_MEMORY {
            request = request.config_override(self.upload_config(bytes));
        }
        let written = request.send().await.map_err(|e| failure(&doing, &e))?;
        etag_of(written.e_tag(), &doing)
    }

    async fn put_parts(&self, to: Target<'_>, bytes: u64) -> Result<String, Failure> {
        let doing = format!("uploading to `{}`", to.bucket);
        let request = self.client.create_multipart_upload().bucket(to.bucket).key(to.key).content_type(to.content_type);
        let begun = request.send().await.map_err(|e| failure(&doing, &e))?;
        let mut upload = Upload {
            store: self.clone(),
            bucket: to.bucket.to_owned(),
            key: to.key.to_owned(),
            id: begun.upload_id().unwrap_or_default().to_owned(),
            open: true,
        };
        let part_bytes = self.part_bytes(bytes);
        let sends: Vec<_> = (0..bytes.div_ceil(part_bytes))
            .map(|index| upload.part(to.path, index, index * part_bytes, part_bytes.min(bytes - index * part_bytes)))
            .collect();
        let sends = futures_util::stream::iter(sends).buffer_unordered(PARTS_IN_FLIGHT);
        let mut parts: Vec<CompletedPart> = sends.try_collect().await?;
        parts.sort_by_key(CompletedPart::part_number);
        let completed = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(to.bucket).key(to.key).upload_id(&upload.id);
        let written = request
            .multipart_upload(completed)
            .customize()
            // Joining the parts takes as long as copying them.
            .config_override(self.upload_config(bytes))
            .send()
            .await
            .map_err(|e| failure(&doing, &e))?;
        let etag = etag_of(written.e_tag(), &doing)?;
        upload.open = false;
        Ok(etag)
    }
}

/// An upload in parts; aborted when dropped open, be it by an error or by cancellation.
struct Upload {
    store: Store,
    bucket: String,
    key: String,
    id: String,
    open: bool,
}

impl Upload {
    async fn part(&self, path: &Path, index: u64, from: u64, bytes: u64) -> Result<CompletedPart, Failure> {
        let number = i32::try_from(index + 1).unwrap_or(i32::MAX);
        let body = slice(path, from, bytes).await?;
        let request = self.store.client.upload_part().bucket(&self.bucket).key(&self.key).upload_id(&self.id);
        let written = request
            .part_number(number)
            .body(body)
            .customize()
            .config_override(self.store.upload_config(bytes))
            .send()
            .await
            .map_err(|e| failure(&format!("uploading part {number} to `{}`", self.bucket), &e))?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(written.e_tag().map(str::to_owned)).build())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.open {
            let request = self.store.client.abort_multipart_upload();
            let request = request.bucket(&self.bucket).key(&self.key).upload_id(&self.id);
            runtime.spawn(async move {
                if let Err(e) = request.send().await {
                    tracing::warn!(failure = %failure("aborting an upload", &e), "parts of an upload may be left in the store");
                }
            });
        }
    }
}

/// The first bytes of a file, which may have grown.
async fn read(path: &Path, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    tokio::fs::File::open(path).await?.take(bytes).read_to_end(&mut content).await?;
    Ok(content)
}

/// A range of a file as a body that can be sent again when a request is repeated.
async fn slice(path: &Path, from: u64, bytes: u64) -> Result<ByteStream, Failure> {
    let body = ByteStream::read_from().path(path).offset(from).length(Length::Exact(bytes)).build().await;
    body.map_err(|e| Failure::disk(&format!("reading {}", path.display()), &std::io::Error::other(e)))
}
