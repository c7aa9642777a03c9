//! Call data from a manifest that grows: a local file or an object, read again whenever it has changed.
//!
//! In memory is a hash of each key and of its last line, not the lines. Lines that are new since the last reading are
//! applied to recordings that are enqueued already; a recording that is found later looks its line up.

use adapters::postgres::{EnqueuedObject, JOBS_PER_CHUNK};
use adapters::s3::{ObjectInfo, Store};
use chrono::{DateTime, Utc};
use domain::{Failure, FailureCode, ObjectRef};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::NamedTempFile;

use super::call_data::Facts;
use super::growing;
use super::intake::{Candidate, Intake, hash};
use crate::error::ProducerError;
use crate::manifest::{Entry, Line, Manifest, ManifestOptions};
use crate::source::full_key;

/// Largest manifest, bytes: it is copied.
const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Entries kept for recordings that are found soon after their lines.
const MOST_RECENT: usize = 10_000;

/// A manifest, and what was read of it.
#[derive(Debug)]
pub(super) struct Feed {
    place: Place,
    options: ManifestOptions,
    /// Bucket of the recordings.
    bucket: String,
    /// Prefix of the keys that its lines name.
    prefix: String,
    edition: Mutex<Arc<Edition>>,
    /// Entries at hand, by hash of their key: those that were new at the last reading.
    recent: Mutex<HashMap<u64, Facts>>,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Object { bucket: String, key: String },
}

/// The manifest as it was read last.
#[derive(Debug, Default)]
struct Edition {
    /// Tells whether it has changed.
    identity: String,
    copy: Option<Copy>,
    /// Of each key, by hash: that of its last line.
    lines: Arc<HashMap<u64, u64>>,
}

/// A copy that does not change while it is read, and is deleted with the last edition that uses it.
#[derive(Debug, Clone)]
struct Copy {
    manifest: Manifest,
    file: Arc<NamedTempFile>,
}

impl Feed {
    /// The manifest at `place`, whose keys are relative to `bucket` and `prefix`.
    ///
    /// # Errors
    /// [`ProducerError::Input`]: a local one that can't be read, or one in no bucket; a temporary folder without room for its
    /// copy. Later, such a folder is only told of, and recordings would be enqueued without their call data.
    pub(super) fn new(
        place: &str,
        (bucket, prefix): (&str, &str),
        options: ManifestOptions,
    ) -> Result<Self, ProducerError> {
        let name = place;
        let place = match place.strip_prefix("s3://").map(|place| place.split_once('/')) {
            Some(Some((bucket, key))) if !bucket.is_empty() && !key.is_empty() => {
                Place::Object { bucket: bucket.into(), key: key.into() }
            }
            Some(_) => return Err(ProducerError::input(format!("`{place}` names no object: write s3://BUCKET/KEY"))),
            None => {
                std::fs::metadata(place).map_err(|e| ProducerError::input(format!("`{place}`: {e}")))?;
                Place::File(place.into())
            }
        };
        temporary(Path::new("")).map_err(|e| {
            let folder = std::env::temp_dir();
            ProducerError::input(format!("no copy of `{name}` can be made in {}: {e}; set TMPDIR", folder.display()))
        })?;
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self { place, options, bucket, prefix, edition: Mutex::default(), recent: Mutex::default() })
    }

    /// The version of a recording's call data, where a line names the recording.
    pub(super) fn version(&self, key: &str) -> Option<String> {
        self.edition().lines.get(&hash(&key)).map(|line| version(*line))
    }

    /// The call data of these keys, at their positions.
    pub(super) async fn read(&self, keys: Vec<String>) -> Result<Vec<Option<Facts>>, ProducerError> {
        let (edition, key_of) = (self.edition(), self.key_of());
        let mut found: HashMap<u64, Facts> = {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            keys.iter().map(hash).filter_map(|key| Some((key, recent.get(&key)?.clone()))).collect()
        };
        let is_missing = |key: &u64| edition.lines.contains_key(key) && !found.contains_key(key);
        let missing: HashSet<u64> = keys.iter().map(hash).filter(is_missing).collect();
        if let (false, Some(copy)) = (missing.is_empty(), edition.copy.clone()) {
            let more = blocking(move || {
                let mut more = HashMap::new();
                copy.manifest.each(|line| {
                    if let Line::Entry(entry) = line
                        && let Ok(key) = key_of(&entry.key).map(|key| hash(&key))
                    {
                        // The last line of a key counts.
                        if missing.contains(&key) {
                            more.insert(key, facts(entry));
                        }
                    }
                    true
                })?;
                Ok(more)
            });
            found.extend(more.await?);
        }
        Ok(keys.iter().map(hash).map(|key| found.get(&key).cloned()).collect())
    }

    /// Reads the manifest if it has changed, and applies new lines to recordings that are enqueued already.
    ///
    /// # Errors
    /// Of a service. What is wrong with the manifest is told.
    pub(super) async fn refresh(&self, intake: &Intake) -> Result<(), ProducerError> {
        let old = self.edition();
        let copied = match self.copy(&old.identity, intake).await {
            Ok(Some(copied)) => copied,
            Ok(None) => return Ok(()),
            Err(ProducerError::Input(why)) => {
                intake.leave_out(hash(&("manifest", &old.identity, &why)), &why);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let (identity, copy) = copied;
        let (reading, key_of, name) = (copy.clone(), self.key_of(), self.name());
        let read = blocking(move || index(&reading, key_of, &name)).await;
        let (lines, bad) = match read {
            Ok(read) => read,
            Err(error) => {
                let why = format!("{}: {error}", self.name());
                intake.leave_out(hash(&("manifest", &identity, &why)), &why);
                return Ok(());
            }
        };
        for why in bad {
            intake.leave_out(hash(&("line", &why)), &why);
        }
        let lines = Arc::new(lines);
        self.set(Edition { identity, copy: Some(copy.clone()), lines: lines.clone() });
        let is_new = |(key, line): &(&u64, &u64)| old.lines.get(key) != Some(line);
        let new: HashMap<u64, u64> = lines.iter().filter(is_new).map(|(key, line)| (*key, *line)).collect();
        if new.is_empty() { Ok(()) } else { self.apply(intake, new, copy).await }
    }

    /// Applies lines, by hashes of key and content, to recordings that are enqueued already.
    async fn apply(&self, intake: &Intake, new: HashMap<u64, u64>, copy: Copy) -> Result<(), ProducerError> {
        let (send, mut receive) = tokio::sync::mpsc::channel::<(String, Facts)>(JOBS_PER_CHUNK);
        let key_of = self.key_of();
        let reading = tokio::task::spawn_blocking(move || {
            copy.manifest.each(|line| {
                let Line::Entry(entry) = line else { return true };
                let Ok(key) = key_of(&entry.key) else { return true };
                let facts = facts(entry);
                let is_new = new.get(&hash(&key)).is_some_and(|line| version(*line) == facts.version);
                !is_new || send.blocking_send((key, facts)).is_ok()
            })
        });
        let mut chunk = Vec::new();
        while receive.recv_many(&mut chunk, JOBS_PER_CHUNK).await > 0 {
            self.apply_chunk(intake, std::mem::take(&mut chunk)).await?;
        }
        reading.await.unwrap_or_else(|e| Err(ProducerError::input(format!("reading ended: {e}"))))
    }

    async fn apply_chunk(&self, intake: &Intake, chunk: Vec<(String, Facts)>) -> Result<(), ProducerError> {
        let keys: Vec<String> = chunk.iter().map(|(key, _)| key.clone()).collect();
        let (database, options) = (&intake.enqueuer.database, intake.enqueuer.analysis(None));
        let enqueued = intake.database(|| database.enqueued_objects(&intake.bucket, &keys, &options)).await?;
        let versions: HashMap<&String, &String> = chunk.iter().map(|(key, facts)| (key, &facts.version)).collect();
        let is_other =
            |object: &EnqueuedObject| object.call_data_version.as_ref() != versions.get(&object.key).copied();
        let candidate = |object: EnqueuedObject| Candidate {
            object: ObjectInfo { key: object.key, etag: object.etag, bytes: 0, modified: None },
            sidecar: None,
            folder: None,
        };
        let corrected = enqueued.into_iter().filter(is_other).map(candidate).collect();
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() >= MOST_RECENT {
                recent.clear();
            }
            recent.extend(chunk.into_iter().map(|(key, facts)| (hash(&key), facts)));
        }
        intake.take(corrected).await?;
        Ok(())
    }

    /// A copy of the manifest as far as it is whole, where it has changed. While it does not rest, what is behind the last
    /// whole line is left for later.
    async fn copy(&self, known: &str, intake: &Intake) -> Result<Option<(String, Copy)>, ProducerError> {
        let name = self.name();
        let wrong = move |what: &dyn std::fmt::Display| ProducerError::input(format!("{name}: {what}"));
        let state = match &self.place {
            Place::File(path) => State::of(path).map_err(|e| wrong(&e))?,
            Place::Object { bucket, key } => {
                let found = intake.store.head(bucket, key).await?.ok_or_else(|| wrong(&"there is no such object"))?;
                State { etag: found.etag, bytes: found.bytes, modified: found.modified }
            }
        };
        if state.bytes > MAX_BYTES {
            return Err(wrong(&"it has more than 4 GiB: watch with a shorter one"));
        }
        let (whole, part) = (format!("{state:?}"), format!("part of {state:?}"));
        if known == whole {
            return Ok(None);
        }
        let mark = hash(&("manifest", self.name(), &whole));
        let rests = intake.rest.wait(mark, state.modified, intake.times.rest).is_none();
        if known == part && !rests {
            return Ok(None);
        }
        let mut file = match &self.place {
            Place::File(path) => {
                let (path, wrong) = (path.clone(), wrong.clone());
                blocking(move || copy_file(&path).map_err(|e| wrong(&e))).await?
            }
            Place::Object { bucket, key } => {
                let file = temporary(Path::new(key)).map_err(|e| wrong(&e))?;
                let object = ObjectRef { bucket: bucket.clone(), key: key.clone(), etag: state.etag.clone() };
                match fetch(&intake.store, &object, file.path()).await {
                    // It was written again meanwhile: the next look takes it.
                    Ok(false) => return Ok(None),
                    Ok(true) => file,
                    Err(failure) => return Err(failure.into()),
                }
            }
        };
        // What was appended while it was copied may be half a line.
        let rests = rests
            && match &self.place {
                Place::File(path) => State::of(path).is_ok_and(|now| now == state),
                Place::Object { .. } => true,
            };
        let options = self.options.clone();
        blocking(move || {
            let Some(cut) = cut(&mut file, rests).map_err(|e| wrong(&e))? else { return Ok(None) };
            let manifest = Manifest::open(file.path(), options)?;
            Ok(Some((if cut { part } else { whole }, Copy { manifest, file: Arc::new(file) })))
        })
        .await
    }

    /// What gives the key in the bucket of one that a line names, or why there is none.
    fn key_of(&self) -> impl Fn(&str) -> Result<String, String> + Send + 'static {
        let (bucket, prefix) = (self.bucket.clone(), self.prefix.clone());
        move |key| full_key(&bucket, &prefix, key)
    }

    fn edition(&self) -> Arc<Edition> {
        self.edition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, edition: Edition) {
        *self.edition.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(edition);
    }

    fn name(&self) -> String {
        match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Object { bucket, key } => format!("s3://{bucket}/{key}"),
        }
    }
}

/// The lines of a manifest, and what is wrong with the others. The last line of a key counts.
fn index(
    copy: &Copy,
    key_of: impl Fn(&str) -> Result<String, String>,
    name: &str,
) -> Result<(HashMap<u64, u64>, Vec<String>), ProducerError> {
    let (mut lines, mut bad) = (HashMap::new(), Vec::new());
    copy.manifest.each(|line| {
        match line {
            Line::Entry(entry) => match key_of(&entry.key) {
                Ok(key) => {
                    lines.insert(hash(&key), content(&entry));
                }
                Err(why) => bad.push(format!("{name}:{}: {why}", entry.line)),
            },
            Line::Bad(line) => bad.push(format!("{name}:{}: {}", line.line, line.what)),
        }
        true
    })?;
    // While one of them is read, the copy is there.
    debug_assert!(copy.file.path().exists());
    Ok((lines, bad))
}

fn content(entry: &Entry) -> u64 {
    hash(&(serde_json::to_string(&entry.call).unwrap_or_default(), format!("{:?}", entry.channels)))
}

fn facts(entry: Entry) -> Facts {
    let version = version(content(&entry));
    Facts { call: entry.call, channels: entry.channels, version }
}

fn version(line: u64) -> String {
    format!("line {line:016x}")
}

/// False: the object changed or vanished since it was looked at.
async fn fetch(store: &Store, object: &ObjectRef, to: &Path) -> Result<bool, Failure> {
    match store.fetch(object, to, MAX_BYTES).await {
        Ok(_) => Ok(true),
        Err(failure) if matches!(failure.code, FailureCode::ObjectChanged | FailureCode::ObjectNotFound) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// A temporary file with the ending of this one, which tells what it is.
fn temporary(of: &Path) -> std::io::Result<NamedTempFile> {
    let ending = of.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    tempfile::Builder::new().prefix("emofleet-manifest-").suffix(&ending).tempfile()
}

/// What shows whether a manifest has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    etag: Option<String>,
    bytes: u64,
    modified: Option<DateTime<Utc>>,
}

impl State {
    fn of(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { etag: None, bytes: found.len(), modified: found.modified().ok().map(DateTime::from) })
    }
}

fn copy_file(path: &Path) -> std::io::Result<NamedTempFile> {
    let (mut from, mut to) = (std::fs::File::open(path)?, temporary(path)?);
    std::io::copy(&mut from, &mut to)?;
    to.flush()?;
    Ok(to)
}

/// Cuts off what is not whole, unless the file rests; says whether there was any. `None`: nothing is there yet.
fn cut(file: &mut NamedTempFile, rests: bool) -> std::io::Result<Option<bool>> {
    let length = std::fs::metadata(file.path())?.len();
    let whole = if rests { length } else { growing::whole(std::fs::File::open(file.path())?)? };
    file.as_file().set_len(whole)?;
    Ok((whole > 0).then_some(whole < length))
}

/// Runs something that blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProducerError> + Send + 'static,
) -> Result<T, ProducerError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(ProducerError::input(format!("reading ended: {e}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_of_a_copy_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.csv");
        for (text, whole, cut_off) in [
            ("key,agent\na.wav,a7\nb.wav,a", "key,agent\na.wav,a7\n", Some(true)),
            ("key,agent\n", "key,agent\n", Some(false)),
            ("key,ag", "", None),
        ] {
            std::fs::write(&path, text).expect("written");
            let mut copy = copy_file(&path).expect("copied");
            assert_eq!(cut(&mut copy, true).expect("cut"), Some(false));
            assert_eq!(cut(&mut copy, false).expect("cut"), cut_off);
            assert_eq!(std::fs::read_to_string(copy.path()).expect("readable"), whole);
        }
    }
}
