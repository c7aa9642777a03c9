//! Where recordings are: a prefix of a bucket, a local folder, a local file.

use std::path::{Path, PathBuf};

use crate::error::ProducerError;

/// A source, as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Objects whose keys begin with `prefix`.
    Prefix {
        /// Bucket.
        bucket: String,
        /// May be empty: the whole bucket.
        prefix: String,
    },
    /// All files below a folder.
    Folder(PathBuf),
    /// One file.
    File(PathBuf),
}

impl Source {
    /// Reads `s3://BUCKET/PREFIX` or a path.
    ///
    /// # Errors
    /// [`ProducerError::Input`] when there is no such path, or no bucket in the URL.
    pub fn parse(text: &str) -> Result<Self, ProducerError> {
        if let Some(place) = text.strip_prefix("s3://") {
            let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
            if bucket.is_empty() {
                return Err(ProducerError::input(format!("`{text}` names no bucket: write s3://BUCKET/PREFIX")));
            }
            return Ok(Self::Prefix { bucket: bucket.into(), prefix: prefix.into() });
        }
        let path = Path::new(text);
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(Self::Folder(path.into())),
            Ok(_) => Ok(Self::File(path.into())),
            Err(e) => {
                Err(ProducerError::input(format!("`{text}`: {e}. A source is a folder, a file, or s3://BUCKET/PREFIX")))
            }
        }
    }

    /// Prefix of the keys that uploads get, unless the user names one: the folder's name.
    pub fn upload_prefix(&self) -> String {
        match self {
            Self::Prefix { .. } => String::new(),
            Self::Folder(path) => {
                let real = path.canonicalize().unwrap_or_else(|_| path.clone());
                real.file_name().map_or_else(|| "uploads/".into(), |name| format!("{}/", name.to_string_lossy()))
            }
            Self::File(_) => "uploads/".into(),
        }
    }
}

/// Endings of names that look like audio. The worker decides by content; this only keeps pictures and tables of a mixed
/// bucket out of the queue.
const AUDIO_ENDINGS: &[&str] = &[
    "3gp", "aac", "ac3", "aif", "aiff", "alac", "amr", "au", "awb", "caf", "flac", "g722", "gsm", "m4a", "m4b", "mka",
    "mkv", "mov", "mp2", "mp3", "mp4", "mpga", "oga", "ogg", "opus", "ra", "snd", "spx", "ulaw", "alaw", "voc", "vox",
    "wav", "wave", "webm", "wma", "wv",
];

/// Whether a key or file name looks like audio.
pub fn looks_like_audio(name: &str) -> bool {
    let ending = name.rsplit(['/', '\\']).next().and_then(|file| file.rsplit_once('.')).map(|(_, ending)| ending);
    ending.is_some_and(|ending| AUDIO_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Content type of an upload, by its name.
pub(crate) fn content_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "wav" | "wave" => "audio/wav",
        "mp3" => "audio/mpeg",
        "m4a" | "mp4" | "m4b" => "audio/mp4",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "ogg" | "oga" | "opus" | "spx" => "audio/ogg",
        "webm" => "audio/webm",
        "amr" => "audio/amr",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_and_its_prefix() {
        let prefix = |bucket: &str, prefix: &str| Source::Prefix { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(Source::parse("s3://calls/a b/通话").expect("valid"), prefix("calls", "a b/通话"));
        assert_eq!(Source::parse("s3://calls").expect("valid"), prefix("calls", ""));
        assert!(Source::parse("s3:///x").is_err());
        assert!(Source::parse("/no/such/folder").expect_err("absent").to_string().contains("s3://"));
    }

    #[test]
    fn audio_is_known_by_its_ending() {
        for audio in ["a.wav", "x/y.MP3", "a.b.Opus", "通话.m4a"] {
            assert!(looks_like_audio(audio), "{audio}");
        }
        for other in ["a.txt", "wav", "x.wav/readme", "a.json", ".gitignore", "a.wav.md5"] {
            assert!(!looks_like_audio(other), "{other}");
        }
    }
}
