//! The files below a folder, in order of name, folder by folder.

use std::fmt::Display;
use std::fs::{File, FileType, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// The folder that it has to be in; `None`: the user named the file itself.
    pub(crate) tree: Option<Tree>,
}

impl LocalFile {
    /// Opens it, if it may be taken now.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn open(&self) -> Result<OpenFile, String> {
        self.tree.as_ref().map_or_else(|| OpenFile::at(&self.path), |tree| tree.open_file(&self.path))
    }
}

/// A file that is open: what its path leads to by now does not matter any more.
#[derive(Debug)]
pub(crate) struct OpenFile(pub(crate) File);

impl OpenFile {
    fn at(path: &Path) -> Result<Self, String> {
        // Without waiting for a pipe that took the file's place.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|e| e.to_string())?;
        let kind = file.metadata().map_err(|e| e.to_string())?.file_type();
        if kind.is_file() { Ok(Self(file)) } else { Err(no_file(kind)) }
    }

    /// A path by which this process opens the same file again.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// A file that was found, or what can't be taken.
pub(crate) type Found = Result<LocalFile, Refused>;

/// What can't be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its path below the folder, where it could be a recording's: what is none by its name needs no reason.
    pub(crate) key: Option<String>,
    /// The path and the reason.
    pub(crate) why: String,
}

impl Refused {
    fn because(path: &Path, why: impl Display) -> Self {
        Self { key: None, why: format!("{}: {why}", path.display()) }
    }
}

/// Files counted to plan uploads by, at most.
pub(crate) const MOST_COUNTED: u64 = 1_000_000;

/// A source folder. What is in it may be written by others than who enqueues it: a link out of it is not followed unless that
/// is asked for, so that no file of this machine leaves it by the name of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    root: Arc<Path>,
    /// The root, without links.
    real: Arc<Path>,
    follow_links: bool,
}

impl Tree {
    /// # Errors
    /// [`ProducerError::Input`] when the folder is not there.
    pub(crate) fn open(root: &Path, follow_links: bool) -> Result<Self, ProducerError> {
        let wrong = |e: std::io::Error| ProducerError::input(format!("{}: {e}", root.display()));
        Ok(Self { root: root.into(), real: root.canonicalize().map_err(wrong)?.into(), follow_links })
    }

    /// All files below the folder, except hidden ones. Links to folders are followed only with `follow_links`, and not in
    /// circles. What can't be read, named or taken is told in its place; an error of the folder itself is the last item.
    pub(crate) fn files(&self) -> mpsc::Receiver<Result<Found, ProducerError>> {
        let (send, receive) = mpsc::channel(AHEAD);
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut above = Vec::new();
            if let Err(error) = this.walk(&this.root, &mut above, &mut |found| send.blocking_send(Ok(found)).is_ok()) {
                let _ = send.blocking_send(Err(error));
            }
        });
        receive
    }

    /// How many files there are, at most `most`: to plan by. What can't be read counts as none.
    pub(crate) async fn count(&self, most: u64) -> u64 {
        let this = self.clone();
        let counting = tokio::task::spawn_blocking(move || {
            let mut count = 0;
            let _ = this.walk(&this.root, &mut Vec::new(), &mut |_| {
                count += 1;
                count < most
            });
            count
        });
        counting.await.unwrap_or_default()
    }

    /// The file with this path below the folder.
    ///
    /// # Errors
    /// Why it can't be taken.
    pub(crate) fn file(&self, key: &str) -> Found {
        let path = self.root.join(key);
        let bytes = self.check(&path).map_err(|why| Refused::because(&path, why))?;
        Ok(LocalFile { path, key: key.to_owned(), bytes, tree: Some(self.clone()) })
    }

    /// Opens a file of the folder. What was opened is judged, not what the path led to before: whoever writes the folder may
    /// put a link in the place of a file at any time.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn open_file(&self, path: &Path) -> Result<OpenFile, String> {
        // To open a device may do something.
        self.check(path)?;
        let file = OpenFile::at(path)?;
        let real = std::fs::read_link(file.path()).map_err(|e| e.to_string())?;
        self.judge(&real, &file.0.metadata().map_err(|e| e.to_string())?)?;
        Ok(file)
    }

    /// Whether this path may be read as a file of the folder; gives its size.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn check(&self, path: &Path) -> Result<u64, String> {
        let found = std::fs::metadata(path).map_err(|e| e.to_string())?;
        if !found.is_file() {
            return Err(no_file(found.file_type()));
        }
        if !self.follow_links {
            // Any folder on the way may be a link, too.
            self.judge(&path.canonicalize().map_err(|e| e.to_string())?, &found)?;
        }
        Ok(found.len())
    }

    /// Whether a file with this path without links, and these properties, is one of the folder alone.
    fn judge(&self, real: &Path, found: &Metadata) -> Result<(), String> {
        if self.follow_links {
            return Ok(());
        }
        if !real.starts_with(&self.real) {
            return Err(format!("is a link out of the folder, to {}: {HOW}", real.display()));
        }
        if found.nlink() > 1 {
            return Err(format!(
                "is a hard link: the file has other names, which may lie outside of the folder. {HOW}"
            ));
        }
        Ok(())
    }

    /// `above`: device and inode of the folders on the way here. False: the receiver is gone.
    fn walk(
        &self,
        folder: &Path,
        above: &mut Vec<(u64, u64)>,
        take: &mut impl FnMut(Found) -> bool,
    ) -> Result<bool, ProducerError> {
        let here = std::fs::metadata(folder).map(|found| (found.dev(), found.ino()));
        let listing = here.and_then(|here| Ok((here, std::fs::read_dir(folder)?)));
        let (here, listing) = match listing {
            Ok(listing) => listing,
            Err(e) if folder == &*self.root => {
                return Err(ProducerError::input(format!("{}: {e}", folder.display())));
            }
            Err(e) => return Ok(take(Err(Refused::because(folder, e)))),
        };
        if above.contains(&here) {
            return Ok(true);
        }
        let mut entries = Vec::new();
        for entry in listing {
            // The other files of the folder are no worse for one that can't be read.
            let told = match entry {
                Ok(entry) => {
                    entries.push(entry);
                    true
                }
                Err(e) => take(Err(Refused::because(folder, e))),
            };
            if !told {
                return Ok(false);
            }
        }
        above.push(here);
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let more = match entry.file_type() {
                Ok(kind) if kind.is_dir() || kind.is_symlink() && self.follow_links && path.is_dir() => {
                    self.walk(&path, above, take)?
                }
                Ok(kind) if kind.is_symlink() && path.is_dir() => self.linked_folder(&path).is_none_or(&mut *take),
                Ok(_) => take(self.found(path)),
                Err(e) => take(Err(Refused::because(&path, e))),
            };
            if !more {
                return Ok(false);
            }
        }
        above.pop();
        Ok(true)
    }

    /// A link to a folder that is not followed. One within the tree says nothing new.
    fn linked_folder(&self, path: &Path) -> Option<Found> {
        let inside = path.canonicalize().is_ok_and(|real| real.starts_with(&self.real));
        (!inside).then(|| Err(Refused::because(path, format!("is a link to a folder outside: {HOW}"))))
    }

    fn found(&self, path: PathBuf) -> Found {
        let below = path.strip_prefix(&self.root).unwrap_or(&path);
        let parts: Option<Vec<&str>> = below.iter().map(std::ffi::OsStr::to_str).collect();
        let Some(key) = parts.map(|parts| parts.join("/")) else {
            let shown = path.as_os_str().as_encoded_bytes().escape_ascii();
            return Err(Refused { key: None, why: format!("{shown}: the name is not UTF-8: rename the file") });
        };
        match self.check(&path) {
            Ok(bytes) => Ok(LocalFile { path, key, bytes, tree: Some(self.clone()) }),
            Err(why) => Err(Refused { key: Some(key), ..Refused::because(&path, why) }),
        }
    }
}

/// What to do about a link.
const HOW: &str = "--follow-symlinks takes it";

fn no_file(kind: FileType) -> String {
    let name = if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "a folder"
    };
    format!("is {name}, not a file")
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
        for follow_links in [false, true] {
            let keys: Vec<_> = all(folder.path(), follow_links).await.into_iter().map(|f| f.map(|f| f.key)).collect();
            assert_eq!(keys, ["a/1 通话.wav", "a/2.wav", "b.wav"].map(|key| Ok(key.to_owned())));
        }
    }

    #[tokio::test]
    async fn a_name_that_is_not_utf8_and_a_dangling_link_are_told_and_the_others_come() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"A\xcd\xa8\xbb\xb0.wav")), "x")
            .expect("written");
        std::fs::write(folder.path().join("b.wav"), "x").expect("written");
        std::os::unix::fs::symlink("/no/such/file", folder.path().join("c.wav")).expect("linked");
        let all: Vec<_> = all(folder.path(), false).await.into_iter().map(|file| file.map(|file| file.key)).collect();
        let of_name = all[0].as_ref().expect_err("not UTF-8");
        assert!(of_name.why.contains("not UTF-8") && of_name.why.contains("\\xbb"), "{all:?}");
        assert_eq!(all[1], Ok("b.wav".into()));
        assert!(all[2].is_err() && all.len() == 3);
    }

    async fn all(folder: &Path, follow_links: bool) -> Vec<Found> {
        let mut found = Tree::open(folder, follow_links).expect("there").files();
        let mut all = Vec::new();
        while let Some(file) = found.recv().await {
            all.push(file.expect("readable"));
        }
        all
    }

    #[tokio::test]
    async fn links_out_of_the_folder_are_followed_only_when_asked_for() {
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir().expect("a folder");
        let (folder, outside) = (place.path().join("in"), place.path().join("out"));
        for path in [&folder, &outside, &folder.join("sub")] {
            std::fs::create_dir(path).expect("made");
        }
        std::fs::write(folder.join("sub/own.wav"), "x").expect("written");
        std::fs::write(outside.join("secret"), "x").expect("written");
        std::fs::write(outside.join("more.wav"), "x").expect("written");
        symlink("sub/own.wav", folder.join("a-inside.wav")).expect("linked");
        symlink("../out/secret", folder.join("b-outside.wav")).expect("linked");
        symlink("b-outside.wav", folder.join("c-chain.wav")).expect("linked");
        symlink("../out", folder.join("d-folder")).expect("linked");
        std::fs::hard_link(outside.join("secret"), folder.join("e-hard.wav")).expect("linked");
        let tree = Tree::open(&folder, false).expect("there");
        let strict = all(&folder, false).await;
        let taken: Vec<_> = strict.iter().flatten().map(|file| file.key.as_str()).collect();
        assert_eq!(taken, ["a-inside.wav", "sub/own.wav"]);
        let whys: Vec<_> = strict.iter().filter_map(|found| Some(found.as_ref().err()?.why.as_str())).collect();
        assert_eq!(whys.len(), 4, "{whys:?}");
        assert!(whys.iter().all(|why| why.contains("--follow-symlinks")), "{whys:?}");
        // As a manifest names them.
        for key in ["b-outside.wav", "c-chain.wav", "d-folder/more.wav", "e-hard.wav"] {
            assert!(tree.file(key).is_err(), "{key}");
        }
        assert!(tree.file("a-inside.wav").is_ok());
        let followed: Vec<_> = all(&folder, true).await.into_iter().flatten().map(|file| file.key).collect();
        let expected = [
            "a-inside.wav",
            "b-outside.wav",
            "c-chain.wav",
            "d-folder/more.wav",
            "d-folder/secret",
            "e-hard.wav",
            "sub/own.wav",
        ];
        assert_eq!(followed, expected);
    }

    #[test]
    fn what_takes_the_place_of_a_file_after_it_was_found_is_not_read() {
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir().expect("a folder");
        let (folder, secret) = (place.path().join("in"), place.path().join("secret"));
        std::fs::create_dir_all(folder.join("sub")).expect("made");
        std::fs::write(&secret, "secret").expect("written");
        for name in ["link.wav", "pipe.wav", "hard.wav", "sub/secret", "kept.wav"] {
            std::fs::write(folder.join(name), "sound").expect("written");
        }
        let tree = Tree::open(&folder, false).expect("there");
        let found = |name: &str| tree.file(name).expect("a file of the folder");
        let files = ["link.wav", "pipe.wav", "hard.wav", "sub/secret"].map(found);
        let kept = found("kept.wav").open().expect("opened");
        for name in ["link.wav", "pipe.wav", "hard.wav", "kept.wav"] {
            std::fs::remove_file(folder.join(name)).expect("removed");
        }
        symlink(&secret, folder.join("link.wav")).expect("linked");
        symlink(&secret, folder.join("kept.wav")).expect("linked");
        std::fs::hard_link(&secret, folder.join("hard.wav")).expect("linked");
        let made = std::process::Command::new("mkfifo").arg(folder.join("pipe.wav")).status().expect("mkfifo runs");
        assert!(made.success());
        // A folder on the way, too.
        std::fs::remove_dir_all(folder.join("sub")).expect("removed");
        symlink("..", folder.join("sub")).expect("linked");
        for file in &files {
            assert!(file.open().is_err(), "{}", file.key);
        }
        // The rule holds for what was opened, by itself.
        let opened = OpenFile::at(&folder.join("link.wav")).expect("opened");
        let real = std::fs::read_link(opened.path()).expect("open");
        assert!(tree.judge(&real, &opened.0.metadata().expect("open")).is_err());
        // What is open already stays what it was.
        assert_eq!(std::fs::read_to_string(kept.path()).expect("open"), "sound");
    }

    #[tokio::test]
    async fn pipes_and_sockets_are_no_recordings_and_nothing_waits_for_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("a.wav")).status().expect("mkfifo runs");
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("b.wav")).expect("bound");
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("c.wav")).expect("linked");
        std::fs::write(folder.path().join("d.wav"), "x").expect("written");
        for follow_links in [false, true] {
            let all = all(folder.path(), follow_links).await;
            let whys: Vec<_> = all.iter().filter_map(|found| Some(found.as_ref().err()?.why.clone())).collect();
            let kinds = whys.iter().zip(["a pipe", "a socket", "a device"]).all(|(why, kind)| why.contains(kind));
            assert!(whys.len() == 3 && kinds && all.len() == 4, "{all:?}");
        }
    }
}
