//! Listing a prefix, page by page.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;
use domain::{Failure, FailureCode};
use futures_util::stream::BoxStream;
use futures_util::{TryStreamExt, stream};
use percent_encoding::percent_decode_str;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::failures::failure;
use super::object::{size, time, unquoted};
use super::{ObjectInfo, Store};

enum Page {
    First,
    Next(String),
    /// Behind this key, where the store gives no token.
    After(String),
    End,
}

/// Where a listing is.
struct Place {
    page: Page,
    /// Hashes of the tokens used.
    tokens: HashSet<u64>,
}

impl Store {
    /// All objects whose keys begin with `prefix`, in the store's order. One page (at most 1,000
    /// objects) is in memory at a time.
    ///
    /// # Errors
    /// Each item may be `store.unreachable`, `store.denied`, or `store.refused`, also when the listing repeats itself; the
    /// stream ends after it.
    pub fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectInfo, Failure>> {
        self.list_after(bucket, prefix, None)
    }

    /// The same, of keys behind `after` in the order of their bytes.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn list_after(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> BoxStream<'static, Result<ObjectInfo, Failure>> {
        let (client, bucket, prefix) = (self.client.clone(), bucket.to_owned(), prefix.to_owned());
        let page = after.map_or(Page::First, |key| Page::After(key.to_owned()));
        let pages = stream::try_unfold(Place { page, tokens: HashSet::new() }, move |mut place| {
            // As XML, a key can't hold every character that S3 allows.
            let request = client.list_objects_v2().bucket(&bucket).prefix(&prefix).encoding_type(EncodingType::Url);
            let doing = format!("listing {bucket}/{prefix}");
            async move {
                let (request, after) = match place.page {
                    Page::First => (request, None),
                    Page::Next(token) => (request.continuation_token(token), None),
                    Page::After(key) => (request.start_after(&key), Some(key)),
                    Page::End => return Ok(None),
                };
                let answer = request.send().await.map_err(|e| failure(&doing, &e))?;
                let objects = objects(&answer);
                let endless = |what: &str| {
                    Failure::new(
                        FailureCode::StoreRefused,
                        format!("{doing}: the store's listing does not go on: {what}"),
                    )
                };
                if let (Some(after), Some(first)) = (&after, objects.first())
                    && first.key <= *after
                {
                    return Err(endless("it ignores where to start"));
                }
                place.page = match (answer.is_truncated(), answer.next_continuation_token(), objects.last()) {
                    (Some(true), Some(token), _) if !token.is_empty() => {
                        if !place.tokens.insert(hash(token)) {
                            return Err(endless("it gave the same token twice"));
                        }
                        Page::Next(token.to_owned())
                    }
                    // Some stores announce more and give no token.
                    (Some(true), _, Some(last)) => Page::After(last.key.clone()),
                    (Some(true), _, None) => {
                        return Err(endless("it announces more, and gives neither keys nor a token"));
                    }
                    _ => Page::End,
                };
                Ok::<_, Failure>(Some((stream::iter(objects.into_iter().map(Ok)), place)))
            }
        });
        Box::pin(pages.try_flatten())
    }
}

fn objects(answer: &ListObjectsV2Output) -> Vec<ObjectInfo> {
    // A store that does not know the parameter does not repeat it, and sends keys as they are.
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let object = |object: &aws_sdk_s3::types::Object| {
        let key = object.key()?;
        let key = if encoded { decoded(key) } else { key.to_owned() };
        Some(ObjectInfo {
            key,
            etag: object.e_tag().map(unquoted),
            bytes: size(object.size()),
            modified: object.last_modified().and_then(time),
        })
    };
    answer.contents().iter().filter_map(object).collect()
}

/// A key out of a URL encoding, in which stores write a space as `+` or `%20`.
fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn keys_come_out_of_their_encoding_whole() {
        for (encoded, key) in [
            ("a+b%2Bc.wav", "a b+c.wav"),
            ("%E9%80%9A%E8%AF%9D/1.wav", "通话/1.wav"),
            ("x%01y%0A.wav", "x\u{1}y\n.wav"),
            ("100%25.wav", "100%.wav"),
        ] {
            assert_eq!(decoded(encoded), key);
        }
    }
}
