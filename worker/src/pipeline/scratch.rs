//! A folder for the temporary files of one job, and the removal of folders that a killed worker left.
//!
//! Workers in several containers may share the place: the same process number means nothing there. A worker holds a lock on a
//! file in each of its folders; the system releases it when the worker ends, however it ends.

use domain::Failure;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const PREFIX: &str = "emofleet-worker-";
/// Name of the locked file. It has this name only once it is locked.
const LOCK: &str = ".lock";
/// A folder without a lock is removed when it is older than any job may take: its worker died before it had one, or is of an
/// earlier version.
const UNLOCKED_FOR: Duration = Duration::from_hours(24);

/// The place of the jobs' folders.
#[derive(Debug, Clone)]
pub(super) struct Scratch(PathBuf);

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct JobFolder {
    dir: TempDir,
    /// Held as long as the folder is used.
    _lock: File,
}

impl JobFolder {
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Scratch {
    /// Below `dir`, or the system's folder for temporary files when it is empty. Folders of
    /// workers that no longer run are removed.
    pub(super) fn sweep(dir: &Path) -> Self {
        let dir = if dir.as_os_str().is_empty() { std::env::temp_dir() } else { dir.to_owned() };
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
            if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            // Locked until it is removed: another worker may sweep at the same moment.
            let _lock = match owner(&entry.path()) {
                Owner::MayRun => continue,
                Owner::Ended(lock) => Some(lock),
                Owner::NeverLocked => None,
            };
            match std::fs::remove_dir_all(entry.path()) {
                Ok(()) => {
                    tracing::info!(folder = %entry.path().display(), "removed the temporary folder of a dead worker");
                }
                Err(error) => {
                    tracing::warn!(folder = %entry.path().display(), %error, "the temporary folder of a dead worker can't be removed");
                }
            }
        }
        Self(dir)
    }

    /// A new folder.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`.
    pub(super) fn folder(&self) -> Result<JobFolder, Failure> {
        let failure = |e: std::io::Error| Failure::disk("temporary folder", &e);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&self.0).map_err(failure)?;
        let unnamed = dir.path().join(".locking");
        let lock = File::create_new(&unnamed).map_err(failure)?;
        match lock.lock() {
            Ok(()) => {}
            // A file system without locks: nobody removes what can't be locked.
            Err(e) if e.kind() == ErrorKind::Unsupported => {}
            Err(e) => return Err(failure(e)),
        }
        // Under its name it was never without its lock.
        std::fs::rename(&unnamed, dir.path().join(LOCK)).map_err(failure)?;
        Ok(JobFolder { dir, _lock: lock })
    }
}

/// The worker of a folder.
enum Owner {
    /// It runs, or that can't be known.
    MayRun,
    /// It has ended: its lock is ours now.
    Ended(File),
    /// It had no lock, for longer than a job takes.
    NeverLocked,
}

fn owner(folder: &Path) -> Owner {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => Owner::Ended(lock),
            Err(TryLockError::WouldBlock) => Owner::MayRun,
            Err(TryLockError::Error(error)) => {
                tracing::debug!(folder = %folder.display(), %error, "the lock of a temporary folder can't be asked for");
                Owner::MayRun
            }
        },
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let changed = std::fs::metadata(folder).and_then(|found| found.modified());
            let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
            if age.is_some_and(|age| age >= UNLOCKED_FOR) { Owner::NeverLocked } else { Owner::MayRun }
        }
        // Of another user, for example.
        Err(_) => Owner::MayRun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a worker leaves that is killed: its folder, and no lock.
    fn killed(folder: JobFolder) -> PathBuf {
        let JobFolder { dir, _lock } = folder;
        dir.keep()
    }

    #[test]
    fn folders_of_dead_workers_are_swept_and_others_kept() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let other = dir.path().join("precious");
        std::fs::create_dir(&other).expect("made");
        let scratch = Scratch::sweep(dir.path());
        let dead = killed(scratch.folder().expect("made"));
        let mine = scratch.folder().expect("made");
        std::fs::write(mine.path().join("object"), "sound").expect("written");
        Scratch::sweep(dir.path());
        assert!(!dead.exists() && other.exists() && mine.path().join("object").exists());
        let path = mine.path().to_owned();
        drop(mine);
        assert!(!path.exists());
    }

    /// Both have this process' number, as two workers in containers may have the same one.
    #[test]
    fn workers_with_the_same_process_number_keep_each_others_folders() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let (one, two) = (Scratch::sweep(dir.path()), Scratch::sweep(dir.path()));
        let (of_one, of_two) = (one.folder().expect("made"), two.folder().expect("made"));
        let dead = killed(two.folder().expect("made"));
        let three = Scratch::sweep(dir.path());
        assert!(of_one.path().exists() && of_two.path().exists() && !dead.exists());
        assert!(three.folder().expect("made").path().exists());
    }

    #[test]
    fn a_folder_without_a_lock_is_kept_for_a_day() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let (young, old) = (dir.path().join(format!("{PREFIX}17-a")), dir.path().join(format!("{PREFIX}17-b")));
        for folder in [&young, &old] {
            std::fs::create_dir(folder).expect("made");
        }
        let long_ago = SystemTime::now() - UNLOCKED_FOR * 2;
        File::open(&old).expect("opened").set_modified(long_ago).expect("set");
        Scratch::sweep(dir.path());
        assert!(young.exists() && !old.exists());
    }

    #[test]
    fn a_link_of_that_name_is_left_alone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let precious = tempfile::tempdir().expect("temporary folder");
        std::fs::write(precious.path().join("file"), "x").expect("written");
        std::os::unix::fs::symlink(precious.path(), dir.path().join(format!("{PREFIX}1"))).expect("linked");
        Scratch::sweep(dir.path());
        assert!(precious.path().join("file").exists());
    }
}
