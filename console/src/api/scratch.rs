//! Answers that are made on disk: a file without a name in `console.temp_dir`, which is gone once it has been sent.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Seek};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::io::ReaderStream;

use crate::app::App;
use crate::guard::Turn;
use crate::problem::Problem;

/// Bytes that are read from the disk at once.
const CHUNK: usize = 64 * 1024;
/// How long a reader may take nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Bytes a second that a reader must take on average.
const SLOWEST: f64 = 16_384.0;

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
pub(super) fn begin(folder: &Path) -> io::Result<File> {
    if folder.as_os_str().is_empty() { tempfile::tempfile() } else { tempfile::tempfile_in(folder) }
}

impl Written {
    /// What was written to `file` up to its present position.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn to(mut file: File) -> io::Result<Self> {
        let bytes = file.stream_position()?;
        file.rewind()?;
        Ok(Self { file, bytes })
    }

    /// Sends it, and holds `permit` until it has been sent, or until its reader is too slow: then the answer ends early, which the
    /// reader notices by its length, and the room on the disk is free again.
    pub(super) fn send(self, permit: impl Send + 'static) -> Body {
        self.send_to(permit, LONGEST_PAUSE)
    }

    fn send_to(self, permit: impl Send + 'static, longest_pause: Duration) -> Body {
        let mut chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(self.file), CHUNK);
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let _held = permit;
            let mut due = Instant::now() + longest_pause;
            while let Some(chunk) = chunks.next().await {
                let pace = chunk.as_ref().map_or(0, Bytes::len) as f64 / SLOWEST;
                match timeout_at(due, sender.send(chunk)).await {
                    Ok(Ok(())) => due += Duration::from_secs_f64(pace),
                    Ok(Err(_)) => return,
                    Err(_) => return tracing::info!("a large answer was read too slowly, and is not sent to its end"),
                }
            }
        });
        Body::from_stream(stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        }))
    }
}

/// What is serialized, as JSON: from memory, or from disk when it is `large`.
///
/// # Errors
/// 503 when the disk refuses, or too many large answers are being sent; 500 after a defect.
pub(super) async fn json<T: Serialize + Send + 'static>(
    app: &App,
    body: T,
    large: Option<Turn>,
) -> Result<Response, Problem> {
    let Some(turn) = large else { return Ok(Json(body).into_response()) };
    let sending = app.limits.large_answers.turn_now()?;
    let folder = app.settings.console.temp_dir.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let _in_memory = turn;
        let mut file = BufWriter::new(begin(&folder)?);
        serde_json::to_writer(&mut file, &body)?;
        Written::to(file.into_inner()?)
    });
    let written = writing.await.map_err(|error| {
        tracing::error!(%error, "an answer can't be written as JSON");
        Problem::internal("The answer can't be written.")
    })?;
    let written = written.map_err(|error| {
        tracing::error!(%error, "an answer can't be written to console.temp_dir");
        Problem::unavailable("worker.no_space", "The console can't write the answer at this moment. Try again later.")
    })?;
    let headers =
        [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, written.bytes.to_string())];
    Ok((headers, written.send(sending)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;

    /// An answer of this many chunks.
    fn written(chunks: usize) -> Written {
        let mut file = begin(Path::new("")).expect("a file");
        file.write_all(&vec![7; chunks * CHUNK]).expect("written");
        Written::to(file).expect("its size")
    }

    #[tokio::test]
    async fn an_answer_is_sent_whole_and_gives_its_permit_back() {
        let permit = Arc::new(());
        let answer = written(5).send(Arc::clone(&permit));
        assert_eq!(axum::body::to_bytes(answer, usize::MAX).await.expect("sent").len(), 5 * CHUNK);
        while Arc::strong_count(&permit) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_reader_that_stops_gives_the_permit_back() {
        let permit = Arc::new(());
        let mut answer = written(50).send_to(Arc::clone(&permit), Duration::from_millis(50)).into_data_stream();
        assert!(answer.next().await.is_some_and(|chunk| chunk.is_ok()));
        while Arc::strong_count(&permit) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let left = answer.fold(0, async |sum, chunk| sum + chunk.map_or(0, |bytes| bytes.len())).await;
        assert!(left < 49 * CHUNK, "it ends early: {left}");
    }
}
