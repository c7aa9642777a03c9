//! The JSON that clients of Gradio send: `{"data": [FILE, granularity, extract_embedding]}`.

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use base64::read::DecoderReader;
use serde_json::Value;
use std::io::Read;

use super::fields::{Fields, boolean, granularity};
use super::spool::{Spool, Spooled};
use crate::problem::Problem;

/// A file of such a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileArgument {
    /// The bytes themselves, in base64, and a name.
    Inline {
        /// Base64 of the content.
        base64: String,
        /// File name.
        name: Option<String>,
    },
    /// A file that `/upload` received earlier.
    Uploaded {
        /// The path that `/upload` returned.
        path: String,
        /// File name.
        name: Option<String>,
    },
}

/// Reads the arguments: of the array `data`, or named (`audio`, `granularity`, `extract_embedding`).
///
/// # Errors
/// 422 that says what is missing or wrong.
pub(crate) fn arguments(body: &Value) -> Result<(FileArgument, Fields), Problem> {
    let (file, fineness, embedding) = match body.get("data") {
        Some(Value::Array(data)) => (data.first(), data.get(1), data.get(2)),
        Some(_) => {
            return Err(Problem::unprocessable("`data` must be an array: [FILE, granularity, extract_embedding]."));
        }
        None => {
            (body.get("audio").or_else(|| body.get("file")), body.get("granularity"), body.get("extract_embedding"))
        }
    };
    let mut fields = Fields::default();
    match fineness {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => fields.granularity = Some(granularity(text)?),
        // Refused as any other word is.
        Some(other) => fields.granularity = Some(granularity(&other.to_string())?),
    }
    fields.embedding = match embedding {
        None | Some(Value::Null) => None,
        Some(Value::Bool(wanted)) => Some(*wanted),
        Some(Value::Number(number)) => Some(number.as_f64() != Some(0.0)),
        Some(Value::String(text)) => Some(boolean(text)?),
        Some(_) => return Err(Problem::unprocessable("`extract_embedding` must be true or false.")),
    };
    Ok((argument(file)?, fields))
}

fn argument(file: Option<&Value>) -> Result<FileArgument, Problem> {
    match file {
        Some(Value::String(text)) => inline(text, None),
        Some(Value::Object(file)) => {
            let text = |key: &str| file.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let name = text("orig_name").or_else(|| text("name")).map(str::to_owned);
            if let Some(data) = text("data").filter(|data| data.starts_with("data:")) {
                return inline(data, name);
            }
            // Gradio 3 gives an uploaded file as {"name": PATH, "is_file": true}.
            let is_file = file.get("is_file") == Some(&Value::Bool(true));
            if let Some(path) = text("path").or_else(|| if is_file { text("name") } else { None }) {
                return Ok(FileArgument::Uploaded { path: path.into(), name: text("orig_name").map(str::to_owned) });
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
fn inline(text: &str, name: Option<String>) -> Result<FileArgument, Problem> {
    let base64 = text.strip_prefix("data:").and_then(|rest| rest.split_once(','));
    match base64 {
        Some((kind, base64)) if kind.ends_with(";base64") => {
            Ok(FileArgument::Inline { base64: base64.to_owned(), name })
        }
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
pub(crate) async fn decode(base64: &str, name: Option<&str>, mut spool: Spool) -> Result<Spooled, Problem> {
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
    use serde_json::json;

    #[test]
    fn every_way_to_give_a_file_is_read() {
        let inline = FileArgument::Inline { base64: "UklG".into(), name: Some("a.wav".into()) };
        let old =
            json!({"data": [{"name": "a.wav", "data": "data:audio/wav;base64,UklG"}, "frame", "True"], "fn_index": 0});
        let (file, fields) = arguments(&old).expect("Gradio 3");
        assert_eq!(file, inline);
        assert_eq!((fields.granularity, fields.embedding), (Some(Granularity::Frame), Some(true)));
        let new = json!({"data": [{"path": "p", "meta": {"_type": "gradio.FileData"}, "orig_name": "a.wav"}]});
        let uploaded = FileArgument::Uploaded { path: "p".into(), name: Some("a.wav".into()) };
        assert_eq!(arguments(&new).expect("Gradio 4").0, uploaded);
        assert!(arguments(&json!({"data": ["data:;base64,UklG", null, null]})).is_ok());
        assert!(arguments(&json!({"audio": "data:audio/wav;base64,UklG", "granularity": "utterance"})).is_ok());
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
            let refused = arguments(&json!({"data": [file]})).expect_err("must be refused");
            assert_eq!(refused.status.as_u16(), 422);
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
