//! Writes an upload to disk: bounded, counted and hashed.

use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::problem::Problem;

/// Longest file name kept, in characters.
const MAX_NAME: usize = 120;
/// Longest file name kept, in bytes: stores that keep objects as files allow 255 for each part of a key.
const MAX_NAME_BYTES: usize = 200;

/// A file being received.
pub(crate) struct Spool {
    path: TempPath,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    limit: u64,
}

/// A file received. Deleted from disk with the last of its clones.
#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    path: Arc<TempPath>,
    /// Size.
    pub bytes: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Name that the caller gave it, made safe for keys.
    pub name: String,
}

impl Spool {
    /// Begins a file of at most `limit` bytes in `folder` (empty: the system's).
    ///
    /// # Errors
    /// 503 when the disk refuses.
    pub(crate) fn begin(folder: &Path, limit: u64) -> Result<Self, Problem> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("emofleet-upload-");
        let made = if folder.as_os_str().is_empty() { builder.tempfile() } else { builder.tempfile_in(folder) };
        let (file, path) = made.map_err(|e| disk(&e))?.into_parts();
        Ok(Self { path, file: BufWriter::new(File::from_std(file)), hash: Sha256::new(), bytes: 0, limit })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// 413 above the limit; 503 when the disk refuses.
    pub(crate) async fn write(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.limit {
            return Err(Problem::too_large(self.limit));
        }
        self.hash.update(chunk);
        self.file.write_all(chunk).await.map_err(|e| disk(&e))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// 503 when the disk refuses.
    pub(crate) async fn finish(mut self, name: Option<&str>) -> Result<Spooled, Problem> {
        self.file.flush().await.map_err(|e| disk(&e))?;
        let name = safe_name(name.unwrap_or_default());
        Ok(Spooled { path: Arc::new(self.path), bytes: self.bytes, sha256: self.hash.finalize().into(), name })
    }
}

impl Spooled {
    /// Path on disk.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same file under another name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = safe_name(name);
        self
    }
}

/// The disk refuses.
pub(super) fn disk(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "an upload can't be written to console.temp_dir");
    Problem::unavailable("worker.no_space", "The console can't store the upload at this moment. Try again later.")
}

/// The last part of a path, without characters that are a problem in keys, headers or terminals.
pub(super) fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| !c.is_control() && !r#""<>:|?*"#.contains(*c)).collect();
    let kept = trimmed(&kept);
    // The end is kept: it has the extension.
    let long = kept
        .char_indices()
        .rev()
        .enumerate()
        .find(|(count, (at, _))| *count == MAX_NAME || kept.len() - at > MAX_NAME_BYTES);
    let cut = long.map_or(0, |(_, (at, c))| at + c.len_utf8());
    let kept = trimmed(&kept[cut..]);
    if kept.is_empty() { "recording".into() } else { kept.to_owned() }
}

fn trimmed(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_whitespace() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_folders_and_special_characters() {
        assert_eq!(safe_name("../../etc/通话 1.wav"), "通话 1.wav");
        assert_eq!(safe_name("C:\\calls\\a\"b\r\n.wav"), "ab.wav");
        assert_eq!(safe_name(".."), "recording");
        assert!(safe_name(&"x".repeat(500)).len() == MAX_NAME);
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_their_extension() {
        for letter in ["x", "é", "通", "\u{1f600}", " . "] {
            let name = safe_name(&format!("{}{letter}.wav", letter.repeat(300)));
            assert!(name.len() <= MAX_NAME_BYTES && name.chars().count() <= MAX_NAME, "{name}");
            assert!(name.ends_with("wav") && !name.starts_with([' ', '.']), "{name}");
        }
        assert_eq!(safe_name(&"通".repeat(40)).chars().count(), 40);
    }

    #[tokio::test]
    async fn a_file_past_the_limit_is_refused() {
        let mut spool = Spool::begin(Path::new(""), 3).expect("a temporary file");
        assert!(spool.write(b"abc").await.is_ok());
        assert_eq!(spool.write(b"d").await.expect_err("too large").status.as_u16(), 413);
    }
}
