//! Listing a prefix, page by page.

use domain::Failure;
use futures_util::{Stream, TryStreamExt, stream};

use super::failures::failure;
use super::object::{size, time, unquoted};
use super::{ObjectInfo, Store};

enum Page {
    First,
    Next(String),
    End,
}

impl Store {
    /// All objects whose keys begin with `prefix`, in the store's order. One page (at most 1,000
    /// objects) is in memory at a time.
    ///
    /// # Errors
    /// Each item may be `store.unreachable` or `store.denied`; the stream ends after it.
    pub fn list(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> impl Stream<Item = Result<ObjectInfo, Failure>> + Send + Unpin + 'static {
        let (client, bucket, prefix) = (self.client.clone(), bucket.to_owned(), prefix.to_owned());
        let pages = stream::try_unfold(Page::First, move |page| {
            let request = client.list_objects_v2().bucket(&bucket).prefix(&prefix);
            let doing = format!("listing {bucket}/{prefix}");
            async move {
                let request = match page {
                    Page::First => request,
                    Page::Next(token) => request.continuation_token(token),
                    Page::End => return Ok(None),
                };
                let answer = request.send().await.map_err(|e| failure(&doing, &e))?;
                let objects: Vec<Result<ObjectInfo, Failure>> = answer
                    .contents()
                    .iter()
                    .filter_map(|object| {
                        Some(Ok(ObjectInfo {
                            key: object.key()?.to_owned(),
                            etag: object.e_tag().map(unquoted),
                            bytes: size(object.size()),
                            modified: object.last_modified().and_then(time),
                        }))
                    })
                    .collect();
                let next = match (answer.is_truncated(), answer.next_continuation_token()) {
                    (Some(true), Some(token)) => Page::Next(token.to_owned()),
                    _ => Page::End,
                };
                Ok::<_, Failure>(Some((stream::iter(objects), next)))
            }
        });
        Box::pin(pages.try_flatten())
    }
}
