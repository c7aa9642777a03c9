//! The files below a folder, in order of name, folder by folder.

use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

use crate::error::ProducerError;

/// Files listed ahead of their upload.
const AHEAD: usize = 256;

/// A local file and its key below the upload prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Path below the folder, with `/`.
    pub(crate) key: String,
    /// Size.
    pub(crate) bytes: u64,
}

/// All files below `root`, except hidden ones. Links to folders are not followed, so that there are no cycles. An error
/// is the last item.
pub(crate) fn files(root: &Path) -> mpsc::Receiver<Result<LocalFile, ProducerError>> {
    let (send, receive) = mpsc::channel(AHEAD);
    let root = root.to_owned();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = walk(&root, &root, &mut |file| send.blocking_send(Ok(file)).is_ok()) {
            let _ = send.blocking_send(Err(error));
        }
    });
    receive
}

/// False: the receiver is gone.
fn walk(root: &Path, folder: &Path, take: &mut impl FnMut(LocalFile) -> bool) -> Result<bool, ProducerError> {
    let wrong = |path: &Path, e: &dyn std::fmt::Display| ProducerError::input(format!("{}: {e}", path.display()));
    let listing = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = listing.map_err(|e| wrong(folder, &e))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(|e| wrong(&entry.path(), &e))?);
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() {
            if !walk(root, &path, take)? {
                return Ok(false);
            }
            continue;
        }
        let Ok(found) = std::fs::metadata(&path) else { continue };
        if !found.is_file() {
            continue;
        }
        let below = path.strip_prefix(root).unwrap_or(&path);
        let parts: Option<Vec<&str>> = below.iter().map(std::ffi::OsStr::to_str).collect();
        let key = parts.ok_or_else(|| wrong(&path, &"the name is not UTF-8: rename the file"))?.join("/");
        if !take(LocalFile { path, key, bytes: found.len() }) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_come_in_order_without_hidden_ones_and_circles() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in ["b.wav", "a/2.wav", "a/1 通话.wav", ".hidden/x.wav", ".y.wav"] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("made");
            std::fs::write(path, file).expect("written");
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/circle")).expect("linked");
        let mut found = files(folder.path());
        let mut keys = Vec::new();
        while let Some(file) = found.recv().await {
            keys.push(file.expect("readable").key);
        }
        assert_eq!(keys, ["a/1 通话.wav", "a/2.wav", "b.wav"]);
    }
}
