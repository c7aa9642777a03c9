//! Call data of recordings that a watcher finds: from sidecars, or from a manifest that grows.

use adapters::s3::{ObjectInfo, Store};
use domain::{ChannelLayout, Failure, FailureCode};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::io::Read;
use std::path::Path;

use super::feed::Feed;
use super::intake::{Candidate, Intake};
use crate::error::ProducerError;
use crate::manifest::{Entry, ManifestOptions, entry_of_json};
use crate::source::folder::Tree;

/// Largest sidecar, bytes.
const MAX_SIDECAR: u64 = 64 * 1024;
/// Sidecars read at the same time.
const READS: usize = 16;

/// What is known of a call.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) call: domain::CallData,
    pub(super) channels: Option<ChannelLayout>,
    /// A hash of where it was read from.
    pub(super) version: String,
}

/// Where call data comes from.
#[derive(Debug)]
pub(super) enum CallData {
    /// Nowhere.
    None,
    /// A file beside each recording.
    Sidecars(ManifestOptions),
    /// A table that grows.
    Manifest(Feed),
}

impl CallData {
    /// Whether recordings wait for it.
    pub(super) fn is_expected(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Looks whether there is new call data for recordings that are enqueued already.
    ///
    /// # Errors
    /// Of a service.
    pub(super) async fn refresh(&self, intake: &Intake) -> Result<(), ProducerError> {
        match self {
            Self::None | Self::Sidecars(_) => Ok(()),
            Self::Manifest(feed) => feed.refresh(intake).await,
        }
    }

    /// Whether it is in files beside the recordings.
    pub(super) fn has_sidecars(&self) -> bool {
        matches!(self, Self::Sidecars(_))
    }

    /// The version of a candidate's call data, where there is any.
    pub(super) fn version(&self, candidate: &Candidate) -> Option<String> {
        match self {
            Self::None => None,
            Self::Sidecars(_) => candidate.sidecar.as_ref().map(version),
            Self::Manifest(feed) => feed.version(&candidate.object.key),
        }
    }

    /// The call data of candidates, at their positions; or what is wrong with it.
    ///
    /// # Errors
    /// `store.unreachable`, `store.denied`; of the manifest as a whole.
    pub(super) async fn read(
        &self,
        store: &Store,
        bucket: &str,
        candidates: impl ExactSizeIterator<Item = &Candidate>,
    ) -> Result<Vec<Result<Option<Facts>, String>>, ProducerError> {
        let options = match self {
            Self::None => return Ok(candidates.map(|_| Ok(None)).collect()),
            Self::Manifest(feed) => {
                let facts = feed.read(candidates.map(|candidate| candidate.object.key.clone()).collect()).await?;
                return Ok(facts.into_iter().map(Ok).collect());
            }
            Self::Sidecars(options) => options,
        };
        let reads: Vec<_> = candidates
            .map(|candidate| async move {
                let Some(sidecar) = &candidate.sidecar else { return Ok(Ok(None)) };
                read_sidecar(store, bucket, candidate, sidecar, options).await
            })
            .collect();
        let read: Result<_, Failure> = stream::iter(reads).buffered(READS).try_collect().await;
        Ok(read?)
    }
}

fn version(sidecar: &ObjectInfo) -> String {
    let content = sidecar.etag.clone().unwrap_or_else(|| format!("{} {:?}", sidecar.bytes, sidecar.modified));
    format!("sidecar {content}")
}

async fn read_sidecar(
    store: &Store,
    bucket: &str,
    candidate: &Candidate,
    sidecar: &ObjectInfo,
    options: &ManifestOptions,
) -> Result<Result<Option<Facts>, String>, Failure> {
    let recording = candidate.object.key.as_str();
    let is_local = candidate.folder.is_some();
    let place = if is_local { sidecar.key.clone() } else { format!("s3://{bucket}/{}", sidecar.key) };
    let wrong = |what: &str| format!("s3://{bucket}/{recording}: its call data {place}: {what}");
    if let Some(tree) = &candidate.folder {
        let content = read_local(tree, Path::new(&sidecar.key)).await;
        let read = content.and_then(|content| entry_of_json(&content, recording, options));
        return Ok(read.map(|entry| Some(facts(entry, sidecar))).map_err(|what| wrong(&what)));
    }
    let bytes = match store.get_bytes(bucket, &sidecar.key, MAX_SIDECAR).await {
        Ok(bytes) => bytes,
        // Deleted since it was listed: the next look finds none.
        Err(failure) if failure.code == FailureCode::ObjectNotFound => return Ok(Err(wrong("it was deleted"))),
        // The prefix was listed with these credentials: one object that is denied stops only its own recording.
        Err(failure)
            if matches!(
                failure.code,
                FailureCode::ObjectTooLarge | FailureCode::StoreRefused | FailureCode::StoreDenied
            ) =>
        {
            return Ok(Err(wrong(&failure.message)));
        }
        Err(failure) => return Err(failure),
    };
    let read = entry_of_json(&bytes, recording, options);
    Ok(read.map(|entry| Some(facts(entry, sidecar))).map_err(|what| wrong(&what)))
}

/// A sidecar in a local folder: never more than the largest one.
///
/// # Errors
/// Why it can't be read, in words.
pub(super) async fn read_local(tree: &Tree, path: &Path) -> Result<Vec<u8>, String> {
    let (tree, path) = (tree.clone(), path.to_owned());
    let read = move || {
        let mut content = Vec::new();
        let reading = tree.open_file(&path)?.0.take(MAX_SIDECAR + 1).read_to_end(&mut content);
        match reading {
            Ok(bytes) if bytes as u64 > MAX_SIDECAR => Err(format!("it has more than {MAX_SIDECAR} bytes")),
            Ok(_) => Ok(content),
            Err(e) => Err(e.to_string()),
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|e| Err(format!("reading ended: {e}")))
}

fn facts(entry: Entry, sidecar: &ObjectInfo) -> Facts {
    Facts { call: entry.call, channels: entry.channels, version: version(sidecar) }
}
