//! The JSON that clients of Gradio send: `{"data": [FILE, granularity, extract_embedding]}`.

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use base64::read::DecoderReader;
use std::io::Read;

use super::fields::{Fields, boolean, granularity};
use super::kept::Kept;
use super::spool::{Spool, Spooled};
use crate::problem::Problem;

/// Longest name of a Gradio client's session, in bytes; clients send some ten.
const MAX_SESSION: usize = 100;

/// A file of such a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileArgument<'a> {
    /// The bytes themselves, in base64, and a name.
    Inline {
        /// Base64 of the content.
        base64: &'a str,
        /// File name.
        name: Option<&'a str>,
    },
    /// A file that `/upload` received earlier.
    Uploaded {
        /// The path that `/upload` returned.
        path: &'a str,
        /// File name.
        name: Option<&'a str>,
    },
}

/// Reads the arguments: of the array `data`, or named (`audio`, `granularity`, `extract_embedding`).
///
/// # Errors
/// 422 that says what is missing or wrong.
pub(super) fn arguments<'b>(body: &'b Kept<'_>) -> Result<(FileArgument<'b>, Fields), Problem> {
    let (file, fineness, embedding) = match body.get("data") {
        Some(Kept::List(data)) => (data.first(), data.get(1), data.get(2)),
        Some(_) => {
            return Err(Problem::unprocessable("`data` must be an array: [FILE, granularity, extract_embedding]."));
        }
        None => {
            (body.get("audio").or_else(|| body.get("file")), body.get("granularity"), body.get("extract_embedding"))
        }
    };
    let mut fields = Fields::default();
    match fineness {
        None | Some(Kept::Null) => {}
        Some(Kept::Text(text)) => fields.granularity = Some(granularity(text)?),
        // Refused as any other word is.
        Some(_) => fields.granularity = Some(granularity("?")?),
    }
    fields.embedding = match embedding {
        None | Some(Kept::Null) => None,
        Some(Kept::Bool(wanted)) => Some(*wanted),
        Some(Kept::Number(number)) => Some(*number != 0.0),
        Some(Kept::Text(text)) => Some(boolean(text)?),
        Some(_) => return Err(Problem::unprocessable("`extract_embedding` must be true or false.")),
    };
    Ok((argument(file)?, fields))
}

/// The session of a Gradio client.
///
/// # Errors
/// 422 when its name is too long.
pub(super) fn session(body: &Kept<'_>) -> Result<Option<String>, Problem> {
    let session = body.get("session_hash").and_then(Kept::text);
    if session.is_some_and(|session| session.len() > MAX_SESSION) {
        return Err(Problem::unprocessable(format!("`session_hash` has at most {MAX_SESSION} bytes.")));
    }
    Ok(session.map(str::to_owned))
}

fn argument<'b>(file: Option<&'b Kept<'_>>) -> Result<FileArgument<'b>, Problem> {
    match file {
        Some(Kept::Text(text)) => inline(text, None),
        Some(file @ Kept::Object(_)) => {
            let text = |key: &str| file.get(key).and_then(Kept::text).filter(|text| !text.is_empty());
            let name = text("orig_name").or_else(|| text("name"));
            if let Some(data) = text("data").filter(|data| data.starts_with("data:")) {
                return inline(data, name);
            }
            // Gradio 3 gives an uploaded file as {"name": PATH, "is_file": true}.
            let is_file = matches!(file.get("is_file"), Some(Kept::Bool(true)));
            if let Some(path) = text("path").or_else(|| if is_file { text("name") } else { None }) {
                return Ok(FileArgument::Uploaded { path, name: text("orig_name") });
            }
            if text("url").is_some() {
                return Err(Problem::unprocessable("Files are not fetched from a `url`. Upload the file instead."));
            }
            Err(Problem::no_audio())
        }
        _ => Err(Problem::no_audio()),
    }
}

/// `data:audio/wav;base64,UklGR...`
fn inline<'b>(text: &'b str, name: Option<&'b str>) -> Result<FileArgument<'b>, Problem> {
    let base64 = text.strip_prefix("data:").and_then(|rest| rest.split_once(','));
    match base64 {
        Some((kind, base64)) if kind.ends_with(";base64") => Ok(FileArgument::Inline { base64, name }),
        Some(_) => Err(Problem::unprocessable("A data URL must be in base64.")),
        None => Err(Problem::unprocessable(
            "The file must be a data URL (`data:audio/wav;base64,...`) or a path that /upload returned.",
        )),
    }
}

/// Decodes base64 to disk.
///
/// # Errors
/// 413 above the limit, 422 for invalid base64.
pub(super) async fn decode(base64: &str, name: Option<&str>, mut spool: Spool) -> Result<Spooled, Problem> {
    let unreadable = || Problem::unprocessable("The data URL is not valid base64.");
    // Some clients leave the padding out.
    let engine = if base64.len().is_multiple_of(4) { &STANDARD } else { &STANDARD_NO_PAD };
    let mut reader = DecoderReader::new(base64.as_bytes(), engine);
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = reader.read(&mut chunk).map_err(|_| unreadable())?;
        if read == 0 {
            break;
        }
        spool.write(&chunk[..read]).await?;
    }
    spool.finish(name).await
}

/// Bytes of JSON that a file of `limit` bytes needs in base64.
pub(crate) fn json_limit(limit: u64) -> u64 {
    limit.div_ceil(3).saturating_mul(4).saturating_add(64 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Granularity;
    use serde_json::{Value, json};

    /// Reads a body, and gives what `check` finds in it.
    fn read<T>(body: &Value, check: impl FnOnce(Result<(FileArgument<'_>, Fields), Problem>) -> T) -> T {
        let text = body.to_string();
        check(arguments(&Kept::read(text.as_bytes()).expect("JSON")))
    }

    #[test]
    fn every_way_to_give_a_file_is_read() {
        let old =
            json!({"data": [{"name": "a.wav", "data": "data:audio/wav;base64,UklG"}, "frame", "True"], "fn_index": 0});
        read(&old, |read| {
            let (file, fields) = read.expect("Gradio 3");
            assert_eq!(file, FileArgument::Inline { base64: "UklG", name: Some("a.wav") });
            assert_eq!((fields.granularity, fields.embedding), (Some(Granularity::Frame), Some(true)));
        });
        let new = json!({"data": [{"path": "p", "meta": {"_type": "gradio.FileData"}, "orig_name": "a.wav"}]});
        read(&new, |read| {
            assert_eq!(read.expect("Gradio 4").0, FileArgument::Uploaded { path: "p", name: Some("a.wav") });
        });
        for other in [
            json!({"data": ["data:;base64,UklG", null, null]}),
            json!({"data": ["data:;base64,UklG", "utterance", 1, "more", [[]]]}),
            json!({"audio": "data:audio/wav;base64,UklG", "granularity": "utterance"}),
        ] {
            assert!(read(&other, |read| read.is_ok()), "{other}");
        }
        // As some languages write the slashes of base64.
        let text = br#"{"data": ["data:audio\/wav;base64,Uk\/G"]}"#;
        let body = Kept::read(text).expect("JSON");
        assert_eq!(arguments(&body).expect("read").0, FileArgument::Inline { base64: "Uk/G", name: None });
    }

    #[test]
    fn addresses_and_foreign_paths_are_not_fetched() {
        for file in [
            json!({"url": "http://10.0.0.1/x.wav"}),
            json!("http://10.0.0.1/x.wav"),
            json!("/etc/passwd"),
            json!(7),
            json!(null),
        ] {
            let status = read(&json!({"data": [file]}), |read| read.expect_err("must be refused").status.as_u16());
            assert_eq!(status, 422);
        }
    }

    #[test]
    fn bodies_that_are_no_request_are_refused_and_not_a_defect() {
        for body in
            [json!([]), json!("text"), json!(7), json!(null), json!({}), json!({"data": {}}), json!({"data": []})]
        {
            let status = read(&body, |read| read.expect_err("must be refused").status.as_u16());
            assert_eq!(status, 422, "{body}");
        }
        for wrong in [json!({"data": ["data:;base64,", 7]}), json!({"data": ["data:;base64,", null, []]})] {
            assert!(read(&wrong, |read| read.is_err()), "{wrong}");
        }
    }

    #[tokio::test]
    async fn base64_is_decoded_with_and_without_padding() {
        for (text, content) in [("UklGRg==", b"RIFF".as_slice()), ("UklGRg", b"RIFF"), ("", b"")] {
            let spool = Spool::begin(std::path::Path::new(""), 100).expect("a temporary file");
            let file = decode(text, None, spool).await.expect("valid base64");
            assert_eq!(std::fs::read(file.path()).expect("written"), content);
        }
    }
}
