//! Objects of the store, for threads that may wait for them.

use adapters::s3::{ByteStream, Store};
use axum::body::Bytes;
use domain::Failure;
use futures_util::TryStreamExt;
use std::io::Read;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The store, seen from a thread for blocking work.
pub(super) struct BlockingStore {
    store: Store,
    runtime: Handle,
    /// The request has ended.
    gone: CancellationToken,
}

impl BlockingStore {
    /// Called in the runtime. What is read fails once `gone` is cancelled.
    pub(super) fn new(store: &Store, gone: CancellationToken) -> Self {
        Self { store: store.clone(), runtime: Handle::current(), gone }
    }

    /// Opens an object; gives its size too.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub(super) fn open(&self, bucket: &str, key: &str) -> Result<(u64, BlockingBytes), Failure> {
        let reading = self.runtime.block_on(self.store.read(bucket, key, None, None))?;
        let (runtime, gone) = (self.runtime.clone(), self.gone.clone());
        Ok((reading.bytes, BlockingBytes { body: reading.body, chunk: Bytes::new(), runtime, gone }))
    }
}

/// The bytes of an object. An error of the store is inside the [`std::io::Error`].
pub(super) struct BlockingBytes {
    body: ByteStream,
    chunk: Bytes,
    runtime: Handle,
    gone: CancellationToken,
}

impl Read for BlockingBytes {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.gone.is_cancelled() {
            return Err(std::io::Error::other("the request has ended"));
        }
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.body.try_next()) {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => return Ok(0),
                Err(failure) => return Err(std::io::Error::other(failure)),
            }
        }
        let taken = self.chunk.split_to(buffer.len().min(self.chunk.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
