//! Whether the store as a whole works: asked when one request failed, to tell a fault of one object from a fault of all.

use domain::{Failure, FailureCode, ObjectRef};

use super::Store;
use super::failures::{failure, status, unreachable};
use crate::boxed;

/// Objects looked at when access to one was denied.
const SIBLINGS: i32 = 5;

impl Store {
    /// Whether objects like this one can be read: the bucket lists, and a byte of at least one other object comes, if there
    /// are any: of `read_before`, a recording that was read without a fault, or of a neighbour.
    ///
    /// # Errors
    /// `store.unreachable`, also for an answer that no S3 store gives, such as a page for people; `store.denied` where access
    /// to the object was `denied`; `store.refused`.
    #[boxed]
    pub async fn probe_read(
        &self,
        (bucket, key): (&str, &str),
        denied: bool,
        read_before: Option<&ObjectRef>,
    ) -> Result<(), Failure> {
        let doing = format!("looking whether the bucket `{bucket}` can be read");
        // Where one recording still comes, the rights to another are missing.
        if let Some(ObjectRef { bucket, key, .. }) = read_before.filter(|_| denied)
            && self.gives_a_byte(bucket, key, &doing).await.is_ok()
        {
            return Ok(());
        }
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
        let mut refused = None;
        for sibling in listed.contents().iter().filter_map(|object| object.key()).filter(|other| *other != key) {
            match self.gives_a_byte(bucket, sibling, &doing).await {
                Ok(()) => return Ok(()),
                // The object was not denied, and all that may be said of its neighbours is that they are.
                Err(other) if other.code == FailureCode::StoreDenied && !denied => return Ok(()),
                Err(other) => refused = Some(other),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Whether an object can be read; one that is gone or empty says that others can be. Its contents matter: a store may
    /// answer for an object whose bytes it can't decrypt, or has lost.
    async fn gives_a_byte(&self, bucket: &str, key: &str, doing: &str) -> Result<(), Failure> {
        match self.client.get_object().bucket(bucket).key(key).range("bytes=0-0").send().await {
            Ok(answer) => etag_of(answer.e_tag(), doing).map(drop),
            Err(e) if matches!(status(&e), Some(404 | 416)) => Ok(()),
            Err(e) => Err(failure(doing, &e)),
        }
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
