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

/// A file that was found, or what can't be taken, and why.
pub(crate) type Found = Result<LocalFile, String>;

/// All files below `root`, except hidden ones. Links to folders are not followed, so that there are no cycles. What can't
/// be read or named is told in its place; an error of `root` itself is the last item.
pub(crate) fn files(root: &Path) -> mpsc::Receiver<Result<Found, ProducerError>> {
    let (send, receive) = mpsc::channel(AHEAD);
    let root = root.to_owned();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = walk(&root, &root, &mut |found| send.blocking_send(Ok(found)).is_ok()) {
            let _ = send.blocking_send(Err(error));
        }
    });
    receive
}

/// Files counted to plan uploads by, at most.
pub(crate) const MOST_COUNTED: u64 = 1_000_000;

/// How many files are below `root`, at most `most`: to plan by. What can't be read counts as none.
pub(crate) async fn count(root: &Path, most: u64) -> u64 {
    let root = root.to_owned();
    let counting = tokio::task::spawn_blocking(move || {
        let mut count = 0;
        let _ = walk(&root, &root, &mut |_| {
            count += 1;
            count < most
        });
        count
    });
    counting.await.unwrap_or_default()
}

/// False: the receiver is gone.
fn walk(root: &Path, folder: &Path, take: &mut impl FnMut(Found) -> bool) -> Result<bool, ProducerError> {
    let wrong = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let listing = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match listing {
        Ok(entries) => entries,
        Err(e) if folder == root => return Err(ProducerError::input(wrong(folder, &e))),
        Err(e) => return Ok(take(Err(wrong(folder, &e)))),
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let more = match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(root, &path, take)?,
            Ok(_) => found(root, path).is_none_or(&mut *take),
            Err(e) => take(Err(wrong(&path, &e))),
        };
        if !more {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `None`: it is no file.
fn found(root: &Path, path: PathBuf) -> Option<Found> {
    let found = match std::fs::metadata(&path) {
        Ok(found) => found,
        Err(e) => return Some(Err(format!("{}: {e}", path.display()))),
    };
    if !found.is_file() {
        return None;
    }
    let below = path.strip_prefix(root).unwrap_or(&path);
    let parts: Option<Vec<&str>> = below.iter().map(std::ffi::OsStr::to_str).collect();
    Some(match parts.map(|parts| parts.join("/")) {
        Some(key) => Ok(LocalFile { path, key, bytes: found.len() }),
        None => Err(format!(
            "{}: the name is not UTF-8: rename the file",
            path.as_os_str().as_encoded_bytes().escape_ascii()
        )),
    })
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
            keys.push(file.expect("readable").map_or_else(|why| why, |file| file.key));
        }
        assert_eq!(keys, ["a/1 通话.wav", "a/2.wav", "b.wav"]);
    }

    #[tokio::test]
    async fn a_name_that_is_not_utf8_and_a_dangling_link_are_told_and_the_others_come() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"A\xcd\xa8\xbb\xb0.wav")), "x")
            .expect("written");
        std::fs::write(folder.path().join("b.wav"), "x").expect("written");
        std::os::unix::fs::symlink("/no/such/file", folder.path().join("c.wav")).expect("linked");
        let mut found = files(folder.path());
        let mut all = Vec::new();
        while let Some(file) = found.recv().await {
            all.push(file.expect("readable").map(|file| file.key));
        }
        assert!(all[0].as_ref().is_err_and(|why| why.contains("not UTF-8") && why.contains("\\xbb")), "{all:?}");
        assert_eq!(all[1], Ok("b.wav".into()));
        assert!(all[2].is_err() && all.len() == 3);
    }
}
