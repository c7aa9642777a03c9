//! An object, or a range of it, passed on as a stream, or a link to it that ends soon.

use aws_sdk_s3::presigning::PresigningConfig;
use axum::body::Bytes;
use domain::{Failure, FailureCode};
use futures_util::Stream;
use futures_util::stream;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::time::Duration;

use super::Store;
use super::failures::{failure, unreachable};
use super::object::size;
use crate::boxed;

/// The bytes of an object as they arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// An answer of the store.
pub struct Reading {
    /// Bytes that the stream gives.
    pub bytes: u64,
    /// The bytes.
    pub body: ByteStream,
}

impl Store {
    /// Opens an object, or these bytes of it, of exactly this version.
    ///
    /// # Errors
    /// `object.not_found`, `object.changed`, `store.unreachable`, `store.denied`. The stream fails with
    /// `store.unreachable` when the transfer breaks or stalls.
    #[boxed]
    pub async fn read(
        &self,
        bucket: &str,
        key: &str,
        etag: Option<&str>,
        range: Option<RangeInclusive<u64>>,
    ) -> Result<Reading, Failure> {
        let mut request = self.client.get_object().bucket(bucket).key(key);
        if let Some(etag) = etag {
            request = request.if_match(format!("\"{etag}\""));
        }
        if let Some(range) = range {
            request = request.range(format!("bytes={}-{}", range.start(), range.end()));
        }
        let found = request.send().await.map_err(|e| failure("reading an artifact", &e))?;
        let (bytes, stall) = (size(found.content_length()), self.stall_timeout);
        let body = stream::try_unfold(found.body, move |mut body| async move {
            match tokio::time::timeout(stall, body.try_next()).await {
                Ok(Ok(chunk)) => Ok(chunk.map(|chunk| (chunk, body))),
                Ok(Err(error)) => Err(unreachable(format!("reading an artifact: {error}"))),
                Err(_) => Err(unreachable("reading an artifact: no byte for s3.stall_timeout_s")),
            }
        });
        Ok(Reading { bytes, body: Box::pin(body) })
    }

    /// A link to an object at the endpoint of the settings, which anyone who has it may read until it ends. No network.
    ///
    /// # Errors
    /// `config.invalid`: a lifetime beyond a week.
    #[boxed]
    pub async fn signed_link(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        lifetime: Duration,
    ) -> Result<String, Failure> {
        let lifetime = PresigningConfig::expires_in(lifetime)
            .map_err(|error| Failure::new(FailureCode::ConfigInvalid, format!("the lifetime of links: {error}")))?;
        let request = self.client.get_object().bucket(bucket).key(key).response_content_type(content_type);
        let signed = request.presigned(lifetime).await.map_err(|e| failure("signing a link", &e))?;
        Ok(signed.uri().to_owned())
    }
}
