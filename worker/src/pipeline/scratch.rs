//! A folder for the temporary files of one job, and the removal of folders that a killed worker left.

use domain::Failure;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PREFIX: &str = "emofleet-worker-";

/// The place of the jobs' folders.
#[derive(Debug, Clone)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Below `dir`, or the system's folder for temporary files when it is empty. Folders of
    /// workers that no longer run are removed.
    pub(super) fn sweep(dir: &Path) -> Self {
        let dir = if dir.as_os_str().is_empty() { std::env::temp_dir() } else { dir.to_owned() };
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if owner(&entry.file_name()).is_some_and(|pid| !alive(pid)) {
                match std::fs::remove_dir_all(entry.path()) {
                    Ok(()) => {
                        tracing::info!(folder = %entry.path().display(), "removed the temporary folder of a dead worker");
                    }
                    Err(error) => {
                        tracing::warn!(folder = %entry.path().display(), %error, "the temporary folder of a dead worker can't be removed");
                    }
                }
            }
        }
        Self(dir)
    }

    /// A folder that is removed when it is dropped.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`.
    pub(super) fn folder(&self) -> Result<TempDir, Failure> {
        let prefix = format!("{PREFIX}{}-", std::process::id());
        tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.0).map_err(|e| Failure::disk("temporary folder", &e))
    }
}

fn owner(name: &std::ffi::OsStr) -> Option<u32> {
    name.to_str()?.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Whether a process of that number runs. This process' own number may stand for a former process in a container, where
/// numbers repeat; such a folder is kept.
fn alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_workers_are_swept_and_others_kept() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let (dead, other) = (dir.path().join(format!("{PREFIX}4194999-x")), dir.path().join("precious"));
        std::fs::create_dir(&dead).expect("made");
        std::fs::create_dir(&other).expect("made");
        let scratch = Scratch::sweep(dir.path());
        let mine = scratch.folder().expect("made");
        Scratch::sweep(dir.path());
        assert!(!dead.exists() && other.exists() && mine.path().exists());
    }
}
