//! `multipart/form-data`: file parts go to disk, text parts are options.

use axum::body::Bytes;
use axum::http::StatusCode;
use futures_util::{Stream, StreamExt};
use multer::{Constraints, Field, Multipart, SizeLimit};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use super::RefusedFile;
use super::body::SharedBody;
use super::fields::Fields;
use super::spool::{Spool, Spooled, safe_name};
use crate::problem::Problem;

/// Names of the part with the file.
const FILE_NAMES: [&str; 6] = ["audio", "file", "files", "files[]", "audio_file", "wav"];
/// Most parts of a request besides its files.
const MAX_PARTS: usize = 16;
/// Longest text part, bytes.
const MAX_TEXT: u64 = 1024;
/// Most bytes read for the header of a part, with what arrived together with it: the parser keeps them in memory.
const MAX_HEADER: u64 = 2 << 20;

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    /// Bytes of each file.
    pub bytes: u64,
    /// Files.
    pub files: usize,
    /// Folder for temporary files; empty: the system's.
    pub folder: &'a std::path::Path,
}

/// What a part with a file became.
enum Part {
    File(Spooled),
    Refused(RefusedFile),
    /// A browser sends an empty part for a file input that was left empty.
    LeftEmpty,
}

/// Reads all parts, in any order. Of several files, those that are too large are refused alone.
///
/// # Errors
/// 400 for an invalid body, 413 above a limit, 422 for invalid options or too many files.
pub(crate) async fn read(
    body: SharedBody,
    boundary: String,
    limits: Limits<'_>,
) -> Result<(Vec<Spooled>, Vec<RefusedFile>, Fields), Problem> {
    let whole = limits.bytes.saturating_mul(limits.files as u64).saturating_add(1 << 20);
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(whole));
    let allowed = Arc::new(AtomicU64::new(0));
    let body = Metered { body, allowed: allowed.clone(), paused: false };
    let mut parts = Multipart::with_constraints(body, boundary, constraints);
    let (mut files, mut refused, mut fields) = (Vec::new(), Vec::new(), Fields::default());
    for _ in 0..MAX_PARTS + limits.files {
        allowed.store(MAX_HEADER, Ordering::Relaxed);
        let Some(mut part) = parts.next_field().await.map_err(|e| unreadable(&e, limits.bytes))? else {
            return Ok((files, refused, fields));
        };
        allowed.store(u64::MAX, Ordering::Relaxed);
        let name = part.name().unwrap_or_default().to_owned();
        let is_recording = FILE_NAMES.contains(&name.as_str());
        // Some programs name no file.
        if part.file_name().is_some() || is_recording {
            if !is_recording {
                // A file in a part of another name is ignored.
                while part.chunk().await.map_err(|e| unreadable(&e, limits.bytes))?.is_some() {}
                continue;
            }
            if files.len() + refused.len() == limits.files {
                return Err(Problem::too_many_files(limits.files));
            }
            match file(part, limits).await? {
                Part::File(file) => files.push(file),
                Part::Refused(file) => refused.push(file),
                Part::LeftEmpty => {}
            }
        } else {
            fields.take(&name, &text(part, limits.bytes).await?)?;
        }
    }
    Err(Problem::unprocessable(format!("The request has more than {MAX_PARTS} parts besides its files.")))
}

async fn file(mut part: Field<'_>, limits: Limits<'_>) -> Result<Part, Problem> {
    let name = part.file_name().map(str::to_owned);
    let mut spool = Some(Spool::begin(limits.folder, limits.bytes)?);
    let mut too_large = None;
    while let Some(chunk) = part.chunk().await.map_err(|e| unreadable(&e, limits.bytes))? {
        let Some(receiving) = &mut spool else { continue };
        match receiving.write(&chunk).await {
            Ok(()) => {}
            // The others can still be taken.
            Err(problem) if problem.status == StatusCode::PAYLOAD_TOO_LARGE && limits.files > 1 => {
                (spool, too_large) = (None, Some(problem));
            }
            Err(problem) => return Err(problem),
        }
    }
    if let Some(problem) = too_large {
        return Ok(Part::Refused(RefusedFile { name: safe_name(name.as_deref().unwrap_or_default()), problem }));
    }
    let Some(spool) = spool else { return Ok(Part::LeftEmpty) };
    let file = spool.finish(name.as_deref()).await?;
    let left_empty = file.bytes == 0 && name.as_deref().is_none_or(str::is_empty);
    Ok(if left_empty { Part::LeftEmpty } else { Part::File(file) })
}

/// A body of which the parser gets one chunk at a time, and so many bytes at the most. By itself, it would read all that has
/// arrived, and keep a header without end in memory.
struct Metered {
    body: SharedBody,
    allowed: Arc<AtomicU64>,
    paused: bool,
}

impl Stream for Metered {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.paused) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.body.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(chunk))) = &next {
            self.paused = true;
            let allowed = self.allowed.load(Ordering::Relaxed);
            match allowed.checked_sub(chunk.len() as u64) {
                Some(_) if allowed == u64::MAX => {}
                Some(left) => self.allowed.store(left, Ordering::Relaxed),
                None => return Poll::Ready(Some(Err(axum::Error::new("the header of a part is too long")))),
            }
        }
        next
    }
}

async fn text(mut part: Field<'_>, limit: u64) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(|e| unreadable(&e, limit))? {
        text.extend_from_slice(&chunk);
        if text.len() as u64 > MAX_TEXT {
            return Err(Problem::unprocessable("A text field has more than 1 kB."));
        }
    }
    String::from_utf8(text).map_err(|_| Problem::unprocessable("A text field is not UTF-8."))
}

fn unreadable(error: &multer::Error, limit: u64) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => Problem::too_large(limit),
        multer::Error::StreamReadFailed(_) => Problem::bad_request("The request ended before its end was announced."),
        _ => Problem::bad_request(format!("The multipart body can't be read: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use futures_util::stream;
    use std::path::Path;

    fn limits(files: usize) -> Limits<'static> {
        Limits { bytes: 8, files, folder: Path::new("") }
    }

    fn part(name: &str, file: &str, content: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\r\n{content}\r\n")
    }

    async fn received(body: String, files: usize) -> Result<(Vec<Spooled>, Vec<RefusedFile>, Fields), Problem> {
        read(SharedBody::new(Body::from(body + "--b--\r\n")), "b".into(), limits(files)).await
    }

    #[tokio::test]
    async fn of_several_files_the_ones_that_are_too_large_are_refused_alone() {
        let two = part("audio", "a.wav", "12345678")
            + &part("other", "x", "123456789")
            + &part("audio", "b.wav", "123456789");
        let (files, refused, _) = received(two.clone() + &part("audio", "c.wav", "1"), 3).await.expect("readable");
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!((names, refused.len()), (vec!["a.wav", "c.wav"], 1));
        assert_eq!((refused[0].name.as_str(), refused[0].problem.status.as_u16()), ("b.wav", 413));
        assert_eq!(received(part("audio", "b.wav", "123456789"), 1).await.expect_err("alone").status.as_u16(), 413);
        let many = received(part("audio", "a.wav", "1").repeat(3), 2).await.expect_err("too many");
        assert_eq!((many.code, many.number), ("request.too_many_files", Some(2)));
    }

    #[tokio::test]
    async fn a_header_without_end_is_refused_before_it_fills_the_memory() {
        let chunk = Bytes::from(vec![b'x'; 64 << 10]);
        let head = Bytes::from_static(b"--b\r\nContent-Disposition: form-data; name=\"");
        let read_bytes = Arc::new(AtomicU64::new(0));
        let counter = read_bytes.clone();
        let chunks = stream::iter(std::iter::once(head).chain(std::iter::repeat_n(chunk, 1600))).map(move |chunk| {
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            Ok::<_, std::io::Error>(chunk)
        });
        let limits = Limits { bytes: 10 << 20, files: 50, folder: Path::new("") };
        let refused = read(SharedBody::new(Body::from_stream(chunks)), "b".into(), limits).await;
        assert_eq!(refused.expect_err("must be refused").status.as_u16(), 400);
        assert!(read_bytes.load(Ordering::Relaxed) < 2 * MAX_HEADER);
    }
}
