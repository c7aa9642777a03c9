//! What a bucket holds under some prefixes, by listings, in place of a request for each key.

use adapters::s3::{ObjectInfo, Store};
use domain::{Failure, FailureCode};
use futures_util::TryStreamExt;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::meter::Meter;

/// Keys listed for each one that is looked up, at most: a page of a thousand takes about as long as a hundred requests for
/// single keys, many at a time.
const LISTED_PER_LOOKUP: u64 = 10;
/// Keys of one page: so many are listed at least.
const PAGE: u64 = 1000;
/// For fewer lookups nothing is listed.
const FEWEST_LOOKUPS: u64 = 20;
/// Objects in memory, at most; the others are looked up one by one.
const MOST_OBJECTS: usize = 2_000_000;

/// Objects by a hash of their key.
#[derive(Debug, Default)]
pub(crate) struct ObjectIndex {
    hasher: RandomState,
    objects: HashMap<u64, Properties>,
    /// Prefixes that were listed to the end.
    complete: Vec<String>,
}

#[derive(Debug)]
struct Properties {
    etag: Etag,
    bytes: u64,
}

/// An etag, most of which are MD5 sums.
#[derive(Debug)]
enum Etag {
    None,
    Md5(u128),
    Other(Box<str>),
}

/// What an index says of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Indexed {
    /// It is there.
    Object(ObjectInfo),
    /// Its prefix was listed to the end, and it was not there.
    Absent,
    /// It has to be looked up.
    Unknown,
}

impl ObjectIndex {
    /// Lists prefixes, each with the number of lookups that are expected below it, as far as that is cheaper than these
    /// lookups; keeps what is `wanted`. A bucket that must not be listed is no error: then nothing is known.
    ///
    /// # Errors
    /// `store.unreachable`.
    pub(crate) async fn of(
        store: &Store,
        bucket: &str,
        prefixes: &[(String, u64)],
        wanted: impl Fn(&str) -> bool,
        meter: &Meter,
    ) -> Result<Self, Failure> {
        let mut index = Self::default();
        for (prefix, lookups) in prefixes.iter().filter(|(_, lookups)| *lookups >= FEWEST_LOOKUPS) {
            let (mut left, mut listed) = (lookups.saturating_mul(LISTED_PER_LOOKUP).max(PAGE), 0_u64);
            let mut objects = store.list(bucket, prefix);
            let complete = loop {
                match objects.try_next().await {
                    Ok(Some(object)) if left > 0 && index.objects.len() < MOST_OBJECTS => {
                        (left, listed) = (left - 1, listed + 1);
                        if wanted(&object.key) {
                            index.insert(object);
                        }
                    }
                    Ok(found) => break found.is_none(),
                    Err(failure) if matches!(failure.code, FailureCode::StoreDenied | FailureCode::StoreRefused) => {
                        break false;
                    }
                    Err(failure) => return Err(failure),
                }
                if listed % PAGE == 0 {
                    meter.at(listed, None, &format!("{listed} keys listed under {bucket}/{prefix}"));
                }
            };
            if complete {
                index.complete.push(prefix.clone());
            }
        }
        Ok(index)
    }

    fn insert(&mut self, object: ObjectInfo) {
        let etag = match object.etag {
            None => Etag::None,
            Some(etag) => md5(&etag).map_or_else(|| Etag::Other(etag.into_boxed_str()), Etag::Md5),
        };
        self.objects.insert(self.hasher.hash_one(&object.key), Properties { etag, bytes: object.bytes });
    }

    /// What is known of a key.
    pub(crate) fn look(&self, key: &str) -> Indexed {
        match self.objects.get(&self.hasher.hash_one(key)) {
            Some(Properties { etag, bytes }) => {
                let etag = match etag {
                    Etag::None => None,
                    Etag::Md5(sum) => Some(format!("{sum:032x}")),
                    Etag::Other(etag) => Some(etag.to_string()),
                };
                Indexed::Object(ObjectInfo { key: key.to_owned(), etag, bytes: *bytes, modified: None })
            }
            None if self.complete.iter().any(|prefix| key.starts_with(prefix.as_str())) => Indexed::Absent,
            None => Indexed::Unknown,
        }
    }
}

/// An MD5 sum in lower-case letters, as a number.
fn md5(etag: &str) -> Option<u128> {
    let digits = etag.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if etag.len() == 32 && digits { u128::from_str_radix(etag, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_gives_objects_as_they_were_listed() {
        let mut index = ObjectIndex { complete: vec!["in/".into()], ..ObjectIndex::default() };
        let object = |key: &str, etag: Option<&str>| ObjectInfo {
            key: key.into(),
            etag: etag.map(str::to_owned),
            bytes: 7,
            modified: None,
        };
        let all = [
            object("in/a.wav", Some("0123456789abcdef0123456789abcdef")),
            object("in/b.wav", Some("0123456789ABCDEF0123456789abcdef")),
            object("in/c.wav", Some("0123456789abcdef0123456789abcdef-2")),
            object("in/d.wav", None),
        ];
        for object in &all {
            index.insert(object.clone());
        }
        for object in all {
            assert_eq!(index.look(&object.key.clone()), Indexed::Object(object));
        }
        assert_eq!(index.look("in/e.wav"), Indexed::Absent);
        assert_eq!(index.look("out/a.wav"), Indexed::Unknown);
    }
}
