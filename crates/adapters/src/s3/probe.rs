//! Whether the store as a whole works: asked when one request failed, to tell a fault of one object from a fault of all.

use domain::{Failure, FailureCode};

use super::Store;
use super::failures::{failure, status, unreachable};
use crate::boxed;

/// Objects looked at when access to one was denied.
const SIBLINGS: i32 = 5;

impl Store {
    /// Whether objects like this one can be read: the bucket lists, and where access to the object was denied, at least one
    /// of its neighbours can be looked at, if there are any.
    ///
    /// # Errors
    /// `store.unreachable`, also for an answer that no S3 store gives, such as a page for people; `store.denied`.
    #[boxed]
    pub async fn probe_read(&self, bucket: &str, key: &str, denied: bool) -> Result<(), Failure> {
        let doing = format!("looking whether the bucket `{bucket}` can be read");
        let folder = key.rfind('/').map_or("", |end| &key[..=end]);
        let request = self.client.list_objects_v2().bucket(bucket).prefix(folder).max_keys(SIBLINGS);
        let listed = match request.send().await {
            Ok(listed) => listed,
            // Without the right to list, the store has at least answered as one.
            Err(e) if !denied && matches!(status(&e), Some(401 | 403)) && e.as_service_error().is_some() => {
                return Ok(());
            }
            Err(e) => return Err(failure(&doing, &e)),
        };
        if listed.name() != Some(bucket) {
            return Err(unreachable(format!("{doing}: what answers is no S3 store")));
        }
        if !denied {
            return Ok(());
        }
        let mut refused = None;
        for sibling in listed.contents().iter().filter_map(|object| object.key()).filter(|other| *other != key) {
            match self.client.head_object().bucket(bucket).key(sibling).send().await {
                Err(e) if matches!(status(&e), Some(401 | 403)) => refused = Some(failure(&doing, &e)),
                // Gone meanwhile, or there: either way the store lets objects be read.
                _ => return Ok(()),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Whether objects can be written: one of a few bytes is, and stays, so that no right to delete is needed.
    ///
    /// # Errors
    /// `store.unreachable`, `store.denied`, `store.refused`.
    #[boxed]
    pub async fn probe_write(&self, bucket: &str, key: &str) -> Result<(), Failure> {
        self.put_bytes(bucket, key, "written to see whether the store works\n", "text/plain").await.map(drop)
    }
}

/// The etag of an answer; every S3 store gives one, a page for people does not.
///
/// # Errors
/// `store.unreachable`.
pub(super) fn etag_of(answer: Option<&str>, doing: &str) -> Result<String, Failure> {
    let etag = answer.map(super::object::unquoted).filter(|etag| !etag.is_empty());
    etag.ok_or_else(|| {
        Failure::new(
            FailureCode::StoreUnreachable,
            format!("{doing}: the answer has no etag: it is not from an S3 store"),
        )
    })
}
