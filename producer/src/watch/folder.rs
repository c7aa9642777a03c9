//! Looks for new recordings in a local folder, and uploads them.

use adapters::postgres::JOBS_PER_CHUNK;
use adapters::s3::ObjectInfo;
use chrono::{DateTime, Utc};
use domain::{Failure, FailureCode};
use futures_util::stream::{self, StreamExt};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::call_data::read_local;
use super::intake::{Candidate, Intake, Look, hash};
use super::listing::{self, Looked};
use super::sidecar;
use crate::error::ProducerError;
use crate::source::folder::{LocalFile, MOST_COUNTED, Tree};
use crate::source::index::ObjectIndex;
use crate::source::upload::{UPLOADS, Uploader, content_hash};

/// How files are uploaded.
#[derive(Debug)]
pub(super) struct Uploads {
    pub(super) uploader: Uploader,
    /// Nothing was looked at yet.
    pub(super) is_first: AtomicBool,
}

/// Goes through the folder, and enqueues what is new.
///
/// # Errors
/// Of a service, or of the folder as a whole.
pub(super) async fn look(intake: &Intake, tree: &Tree, uploads: &Uploads) -> Result<Looked, ProducerError> {
    let Uploads { uploader, is_first } = uploads;
    let mut index = ObjectIndex::default();
    if is_first.swap(false, Ordering::Relaxed) {
        // Most files are there already, after a restart.
        let prefixes = [(uploader.prefix.clone(), tree.count(MOST_COUNTED).await)];
        index = ObjectIndex::of(&intake.store, &intake.bucket, &prefixes, |_| true, &intake.meter).await?;
    }
    let mut looked = Looked { complete: true, ..Looked::default() };
    let mut files = tree.files();
    let mut ready = Vec::new();
    while let Some(found) = files.recv().await {
        looked.listed += 1;
        let file = match found? {
            Ok(file) => file,
            Err(refused) => {
                if refused.key.is_none_or(|key| intake.is_wanted(&format!("{}{key}", uploader.prefix))) {
                    intake.leave_out(hash(&refused.why), &refused.why);
                }
                continue;
            }
        };
        let key = uploader.key(&file);
        let is_call_data = intake.call_data.has_sidecars() && sidecar::is_sidecar(&key);
        if is_call_data || !intake.is_wanted(&key) {
            continue;
        }
        let Some(candidate) = candidate(intake, tree, &file, key) else { continue };
        let mark = intake.mark(&candidate);
        match intake.look(candidate) {
            Look::Take(candidate) => ready.push((file, candidate, mark)),
            Look::Settled => {}
            Look::Wait { after, for_call_data } => looked.wait(after, for_call_data),
        }
        if ready.len() >= JOBS_PER_CHUNK {
            take(intake, (uploader, &index), std::mem::take(&mut ready), &mut looked).await?;
        }
        if intake.stop.is_cancelled() {
            looked.complete = false;
            return Ok(looked);
        }
    }
    take(intake, (uploader, &index), ready, &mut looked).await?;
    intake.rest.sweep();
    Ok(looked)
}

/// A file as it is now, with its sidecar.
fn candidate(intake: &Intake, tree: &Tree, file: &LocalFile, key: String) -> Option<Candidate> {
    // Deleted since it was found.
    let object = info(key, &std::fs::metadata(&file.path).ok()?);
    let sidecar = if intake.call_data.has_sidecars() { sidecar_of(&file.path) } else { None };
    let sidecar = sidecar.filter(|path| {
        let refused = tree.check(path).err().map(|why| format!("call data {}: {why}", path.display()));
        refused.inspect(|why| intake.leave_out(hash(why), why)).is_none()
    });
    let sidecar = sidecar.and_then(|path| Some(info(path.to_str()?.to_owned(), &std::fs::metadata(&path).ok()?)));
    Some(Candidate { object, sidecar, folder: Some(tree.clone()) })
}

fn sidecar_of(path: &Path) -> Option<PathBuf> {
    let names = sidecar::names(path.to_str()?);
    // Recorders of old systems write all in capitals; a listing of a bucket finds those as well.
    let with_capitals = |name: &String| name.strip_suffix(".json").map(|base| format!("{base}.JSON"));
    let all = names.iter().flat_map(|name| [Some(name.clone()), with_capitals(name)]).flatten();
    all.map(PathBuf::from).find(|path| path.is_file())
}

fn info(key: String, found: &Metadata) -> ObjectInfo {
    ObjectInfo { key, etag: None, bytes: found.len(), modified: found.modified().ok().map(DateTime::<Utc>::from) }
}

/// Uploads files and enqueues them.
async fn take(
    intake: &Intake,
    uploads: (&Uploader, &ObjectIndex),
    ready: Vec<(LocalFile, Candidate, u64)>,
    looked: &mut Looked,
) -> Result<(), ProducerError> {
    let uploads = ready.into_iter().map(|(file, candidate, mark)| async move {
        let uploaded = upload(intake, uploads, &file, candidate).await;
        uploaded.map(|uploaded| (uploaded, file, mark))
    });
    let mut uploads = stream::iter(uploads.collect::<Vec<_>>()).buffer_unordered(UPLOADS);
    let (mut candidates, mut marks) = (Vec::new(), Vec::new());
    while let Some(done) = uploads.next().await {
        match done? {
            (Upload::Done(candidate), _, mark) => {
                marks.push((candidate.object.key.clone(), mark));
                candidates.push(candidate);
            }
            (Upload::Changed, ..) => looked.wait(intake.times.rest, false),
            (Upload::Refused(why), file, mark) => {
                intake.leave_out(mark, &format!("{}: {why}", file.path.display()));
            }
        }
    }
    let in_flight = listing::take(intake, candidates, looked).await?;
    for (key, mark) in marks {
        if !in_flight.contains(&key) {
            intake.settle(mark);
        }
    }
    Ok(())
}

enum Upload {
    Done(Candidate),
    /// It was written to meanwhile.
    Changed,
    Refused(String),
}

async fn upload(
    intake: &Intake,
    (uploader, index): (&Uploader, &ObjectIndex),
    file: &LocalFile,
    candidate: Candidate,
) -> Result<Upload, Failure> {
    let before = &candidate.object;
    let file = LocalFile { bytes: before.bytes, ..file.clone() };
    let done = match uploader.upload(&file, index).await {
        Ok(done) => done,
        Err(failure) => {
            let of_the_file = matches!(
                failure.code,
                FailureCode::WorkerInternal
                    | FailureCode::ObjectNotFound
                    | FailureCode::JobInvalid
                    | FailureCode::StoreRefused
            );
            return if of_the_file { Ok(Upload::Refused(failure.message)) } else { Err(failure) };
        }
    };
    let after = std::fs::metadata(&file.path).map(|found| info(before.key.clone(), &found));
    if !after.is_ok_and(|after| after == *before) {
        return Ok(Upload::Changed);
    }
    if done.sent {
        intake.tally.uploaded.inc();
    }
    let mut sidecar = candidate.sidecar.clone();
    if let (Some(sidecar), Some(tree)) = (&mut sidecar, &candidate.folder) {
        // By its content, so that a restart knows it again.
        match read_local(tree, Path::new(&sidecar.key)).await {
            Ok(content) => sidecar.etag = Some(content_hash(&content)),
            Err(why) => return Ok(Upload::Refused(format!("its call data {}: {why}", sidecar.key))),
        }
    }
    Ok(Upload::Done(Candidate { object: done.object, sidecar, ..candidate }))
}
