//! Single objects: head, get, put, delete.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use chrono::{DateTime, Utc};
use domain::{Failure, FailureCode};
use futures_util::{StreamExt, TryStreamExt};

use super::Store;
use super::failures::{failure, status, unreachable};
use super::probe::etag_of;
use crate::boxed;

/// Objects deleted at once.
const DELETIONS: usize = 8;

/// Properties of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its etag, without quotes.
    pub etag: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub modified: Option<DateTime<Utc>>,
}

impl Store {
    /// Properties of an object; `None` when there is none.
    ///
    /// # Errors
    /// `store.unreachable`, `store.denied`.
    #[boxed]
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectInfo>, Failure> {
        // No key in messages: it may contain a telephone number, and they are logged. The row has it.
        let doing = format!("looking at an object of `{bucket}`");
        match self.client.head_object().bucket(bucket).key(key).send().await {
            Ok(found) => Ok(Some(ObjectInfo {
                key: key.to_owned(),
                etag: Some(etag_of(found.e_tag(), &doing)?),
                bytes: size(found.content_length()),
                modified: found.last_modified().and_then(time),
            })),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(failure(&doing, &e)),
        }
    }

    /// Reads a small object, at most `max_bytes`.
    ///
    /// # Errors
    /// As [`Store::fetch`].
    #[boxed]
    pub async fn get_bytes(&self, bucket: &str, key: &str, max_bytes: u64) -> Result<Vec<u8>, Failure> {
        let doing = format!("reading an object of `{bucket}`");
        let too_large =
            || Failure::new(FailureCode::ObjectTooLarge, format!("{doing}: it has more than {max_bytes} bytes"));
        let found = self.client.get_object().bucket(bucket).key(key).send().await.map_err(|e| failure(&doing, &e))?;
        let announced = found.content_length();
        if size(announced) > max_bytes {
            return Err(too_large());
        }
        let mut body = found.body;
        let mut bytes = Vec::with_capacity(usize::try_from(size(announced)).unwrap_or_default());
        while let Some(chunk) = body.try_next().await.map_err(|e| unreachable(format!("{doing}: {e}")))? {
            if (bytes.len() + chunk.len()) as u64 > max_bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        if announced.is_some() && size(announced) != bytes.len() as u64 {
            return Err(unreachable(format!("{doing}: the body ended early")));
        }
        Ok(bytes)
    }

    /// Writes a small object. Returns its etag.
    ///
    /// # Errors
    /// `store.unreachable`, `store.denied`.
    pub async fn put_bytes(
        &self,
        bucket: &str,
        key: &str,
        body: impl Into<Vec<u8>>,
        content_type: &str,
    ) -> Result<String, Failure> {
        let (body, doing) = (body.into(), format!("writing an object of `{bucket}`"));
        let limits = self.upload_config(body.len() as u64);
        let request = self.client.put_object().bucket(bucket).key(key).content_type(content_type);
        let written = request
            .body(ByteStream::from(body))
            .customize()
            .config_override(limits)
            .send()
            .await
            .map_err(|e| failure(&doing, &e))?;
        etag_of(written.e_tag(), &doing)
    }

    /// Deletes objects; those that don't exist are no error.
    ///
    /// # Errors
    /// `store.unreachable`, `store.denied`.
    #[boxed]
    pub async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Failure> {
        // One request each: bulk deletion needs checksums that older servers don't support.
        let deletions: Vec<_> = keys.iter().map(|key| self.delete_one(bucket, key)).collect();
        futures_util::stream::iter(deletions).buffer_unordered(DELETIONS).try_collect().await
    }

    async fn delete_one(&self, bucket: &str, key: &str) -> Result<(), Failure> {
        match self.client.delete_object().bucket(bucket).key(key).send().await {
            Ok(_) => Ok(()),
            // Without its bucket, nothing is known of an object: it may be in another store.
            Err(e) if status(&e) == Some(404) && e.code() != Some("NoSuchBucket") => Ok(()),
            Err(e) => Err(failure(&format!("deleting an object of `{bucket}`"), &e)),
        }
    }
}

pub(super) fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

pub(super) fn size(length: Option<i64>) -> u64 {
    length.and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
}

pub(super) fn time(time: &aws_sdk_s3::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}
