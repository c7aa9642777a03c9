//! `multipart/form-data`: file parts go to disk, text parts are options.

use multer::{Constraints, Field, Multipart, SizeLimit};

use super::body::SharedBody;
use super::fields::Fields;
use super::spool::{Spool, Spooled};
use crate::problem::Problem;

/// Names of the part with the file.
const FILE_NAMES: [&str; 6] = ["audio", "file", "files", "files[]", "audio_file", "wav"];
/// Most parts of a request besides its files.
const MAX_PARTS: usize = 16;
/// Longest text part, bytes.
const MAX_TEXT: u64 = 1024;

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

/// Reads all parts, in any order.
///
/// # Errors
/// 400 for an invalid body, 413 above a limit, 422 for invalid options.
pub(crate) async fn read(
    body: SharedBody,
    boundary: String,
    limits: Limits<'_>,
) -> Result<(Vec<Spooled>, Fields), Problem> {
    let whole = limits.bytes.saturating_mul(limits.files as u64).saturating_add(1 << 20);
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(whole));
    let mut parts = Multipart::with_constraints(body, boundary, constraints);
    let (mut files, mut fields) = (Vec::new(), Fields::default());
    for _ in 0..MAX_PARTS + limits.files {
        let Some(part) = parts.next_field().await.map_err(|e| unreadable(&e, limits.bytes))? else {
            return Ok((files, fields));
        };
        let name = part.name().unwrap_or_default().to_owned();
        let is_recording = FILE_NAMES.contains(&name.as_str());
        // Some programs name no file.
        if part.file_name().is_some() || is_recording {
            if !is_recording {
                continue; // a file in a part of another name is ignored
            }
            if files.len() == limits.files {
                let detail = format!("At most {} file(s) in one request.", limits.files);
                return Err(Problem::unprocessable(detail));
            }
            // A browser sends an empty part for a file input that was left empty.
            if let Some(file) = file(part, limits).await? {
                files.push(file);
            }
        } else {
            fields.take(&name, &text(part, limits.bytes).await?)?;
        }
    }
    Err(Problem::unprocessable(format!("The request has more than {MAX_PARTS} parts besides its files.")))
}

async fn file(mut part: Field<'_>, limits: Limits<'_>) -> Result<Option<Spooled>, Problem> {
    let name = part.file_name().map(str::to_owned);
    let mut spool = Spool::begin(limits.folder, limits.bytes)?;
    while let Some(chunk) = part.chunk().await.map_err(|e| unreadable(&e, limits.bytes))? {
        spool.write(&chunk).await?;
    }
    let file = spool.finish(name.as_deref()).await?;
    let left_empty = file.bytes == 0 && name.as_deref().is_none_or(str::is_empty);
    Ok((!left_empty).then_some(file))
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
