//! A recording, streamed to disk. Memory stays bounded whatever its size.

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use domain::{Failure, FailureCode, ObjectRef};
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::Store;
use super::failures::{failure, unreachable};
use super::object::size;
use super::probe::etag_of;
use crate::boxed;

/// Bytes gathered before they are written to disk.
const WRITE_BUFFER: usize = 256 * 1024;

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Size.
    pub bytes: u64,
    /// Etag, without quotes.
    pub etag: Option<String>,
}

/// The state of a download.
struct Download<'a> {
    object: &'a ObjectRef,
    file: BufWriter<File>,
    written: u64,
    /// Size of the whole object, once it is known.
    total: Option<u64>,
    etag: Option<String>,
    max_bytes: u64,
}

impl Store {
    /// Streams an object to the file `dest`, which is created or overwritten. A body that breaks off or stalls is resumed
    /// where it ended, in `s3.attempts` attempts.
    ///
    /// # Errors
    /// - `object.not_found`; `object.changed`: another etag than the job's;
    /// - `object.too_large`: more than `max_bytes`;
    /// - `store.unreachable`: no answer, no byte for `s3.stall_timeout_s`, or fewer bytes than announced;
    /// - `store.denied`; `worker.no_space`.
    #[boxed]
    pub async fn fetch(&self, object: &ObjectRef, dest: &Path, max_bytes: u64) -> Result<Fetched, Failure> {
        let file = File::create(dest).await.map_err(|e| Failure::disk("creating a temporary file", &e))?;
        let file = BufWriter::with_capacity(WRITE_BUFFER, file);
        let mut download = Download { object, file, written: 0, total: None, etag: object.etag.clone(), max_bytes };
        for attempt in 1..=self.attempts {
            match self.continue_download(&mut download).await {
                Ok(()) => {
                    download.file.flush().await.map_err(|e| Failure::disk("writing a temporary file", &e))?;
                    return Ok(Fetched { bytes: download.written, etag: download.etag });
                }
                Err(e) if e.code == FailureCode::StoreUnreachable && attempt < self.attempts => {
                    tracing::debug!(failure = %e, at = download.written, "resuming a download that broke off");
                }
                Err(e) => return Err(e),
            }
        }
        Err(unreachable("no attempt is allowed: set s3.attempts"))
    }

    async fn continue_download(&self, download: &mut Download<'_>) -> Result<(), Failure> {
        let ObjectRef { bucket, key, .. } = download.object;
        if download.total == Some(download.written) && download.written > 0 {
            // All of it came, and then an error: of its checksum, or of the end of the transfer.
            download.restart().await?;
        }
        let mut request = self.client.get_object().bucket(bucket).key(key);
        if let Some(etag) = &download.etag {
            request = request.if_match(format!("\"{etag}\""));
        }
        let resumed = download.written > 0;
        if resumed {
            request = request.range(format!("bytes={}-", download.written));
        }
        // No key: it may contain a telephone number, and this is logged. The row has it.
        let doing = "fetching the recording";
        let accepted = match request.send().await.map_err(|e| failure(doing, &e)) {
            Ok(answer) => download.accept(&answer, resumed).await.map(|()| answer),
            Err(failure) => Err(failure),
        };
        let answer = match accepted {
            // The job takes any version; the rest of this one is gone.
            Err(changed) if changed.code == FailureCode::ObjectChanged && download.object.etag.is_none() => {
                download.etag = None;
                download.restart().await?;
                return Err(unreachable(format!("{doing}: it was overwritten meanwhile")));
            }
            accepted => accepted?,
        };
        let mut body = answer.body;
        loop {
            let chunk = match tokio::time::timeout(self.stall_timeout, body.try_next()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(e)) => return Err(unreachable(format!("{doing}: the transfer broke: {e}"))),
                Err(_) => {
                    let s = self.stall_timeout.as_secs();
                    return Err(unreachable(format!("{doing}: no byte for {s} s (s3.stall_timeout_s)")));
                }
            };
            let Some(chunk) = chunk else { break };
            download.write(&chunk).await?;
        }
        match download.total {
            Some(total) if total != download.written => {
                Err(unreachable(format!("{doing}: {} of {total} bytes came", download.written)))
            }
            _ => Ok(()),
        }
    }
}

impl Download<'_> {
    /// Checks an answer's headers before its body is written.
    async fn accept(&mut self, answer: &GetObjectOutput, resumed: bool) -> Result<(), Failure> {
        let etag = Some(etag_of(answer.e_tag(), "fetching the recording")?);
        // A page for people may have an etag as well; recordings of that type are told from it by their own.
        let is_page = answer.content_type().is_some_and(|kind| kind.starts_with("text/html"));
        if is_page && self.etag.is_some() && self.etag != etag {
            return Err(unreachable("fetching the recording: the store answered with an HTML page"));
        }
        // Some servers ignore If-Match.
        if let (Some(wanted), Some(got)) = (&self.etag, &etag)
            && wanted != got
        {
            return Err(Failure::new(
                FailureCode::ObjectChanged,
                format!("the object is of version {got}; the job asks for {wanted}"),
            ));
        }
        self.etag = self.etag.take().or(etag);
        if resumed && answer.content_range().is_none() {
            // A server that ignores Range sends everything again.
            self.restart().await?;
        }
        if let Some(length) = answer.content_length() {
            let total = self.written + size(Some(length));
            if total > self.max_bytes {
                return Err(self.too_large(&format!("{total} bytes")));
            }
            self.total = Some(total);
        }
        Ok(())
    }

    async fn write(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.written += chunk.len() as u64;
        if self.written > self.max_bytes {
            return Err(self.too_large("more than it announced"));
        }
        self.file.write_all(chunk).await.map_err(|e| Failure::disk("writing a temporary file", &e))
    }

    async fn restart(&mut self) -> Result<(), Failure> {
        let again = async {
            self.file.flush().await?;
            self.file.seek(std::io::SeekFrom::Start(0)).await?;
            self.file.get_ref().set_len(0).await
        };
        (self.written, self.total) = (0, None);
        again.await.map_err(|e| Failure::disk("emptying a temporary file", &e))
    }

    fn too_large(&self, what: &str) -> Failure {
        let message = format!("the object has {what}; audio.max_bytes is {}", self.max_bytes);
        Failure::new(FailureCode::ObjectTooLarge, message)
    }
}
