//! Answers that are made on disk: a file without a name in `console.temp_dir`, which is gone once it has been sent.

use axum::body::Body;
use futures_util::StreamExt;
use std::fs::File;
use std::io::{Result, Seek};
use std::path::Path;
use tokio_util::io::ReaderStream;

/// A file to send.
pub(super) struct Written {
    file: File,
    /// Its size.
    pub bytes: u64,
}

/// Begins a file in `folder` (empty: the system's).
///
/// # Errors
/// When the disk refuses.
pub(super) fn begin(folder: &Path) -> Result<File> {
    if folder.as_os_str().is_empty() { tempfile::tempfile() } else { tempfile::tempfile_in(folder) }
}

impl Written {
    /// What was written to `file` up to its present position.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn to(mut file: File) -> Result<Self> {
        let bytes = file.stream_position()?;
        file.rewind()?;
        Ok(Self { file, bytes })
    }

    /// Sends it, and holds `permit` until it has been sent.
    pub(super) fn send(self, permit: impl Send + 'static) -> Body {
        let chunks = ReaderStream::new(tokio::fs::File::from_std(self.file));
        Body::from_stream(chunks.map(move |chunk| {
            let _held = &permit;
            chunk
        }))
    }
}
