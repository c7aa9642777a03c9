//! Where recordings are: a prefix of a bucket, a local folder, a local file.

pub(crate) mod folder;
pub(crate) mod index;
pub(crate) mod recordings;
pub(crate) mod upload;

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

/// Prefix of the keys of uploads from a source: the one that the user names, or the source's own.
pub(crate) fn upload_prefix(named: Option<&str>, source: &Source) -> String {
    let mut prefix = named.map_or_else(|| source.upload_prefix(), str::to_owned);
    // `--prefix monday` means a folder of that name, not keys like `mondaycall.wav`.
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    prefix
}

/// The key in the bucket of one that a manifest spells relative to the source, or with the bucket.
///
/// # Errors
/// Why not, in words: it names another bucket.
pub(crate) fn full_key(bucket: &str, prefix: &str, key: &str) -> Result<String, String> {
    match key.strip_prefix("s3://").and_then(|place| place.split_once('/')) {
        Some((named, key)) if named == bucket => Ok(key.to_owned()),
        Some((named, _)) => Err(format!("the key is in bucket `{named}`, the source is in `{bucket}`")),
        None if prefix.is_empty() || prefix.ends_with('/') => Ok(format!("{prefix}{key}")),
        None => Ok(format!("{prefix}/{key}")),
    }
}

/// Endings of names that look like audio. The worker decides by content; this only keeps pictures and tables of a mixed
/// bucket out of the queue.
const AUDIO_ENDINGS: &[&str] = &[
    "3g2", "3gp", "3gpp", "aac", "ac3", "adts", "aif", "aifc", "aiff", "alac", "alaw", "amr", "ape", "au", "avi",
    "awb", "bwf", "caf", "dss", "ds2", "eac3", "f4a", "flac", "flv", "g722", "g726", "g729", "gsm", "m2ts", "m4a",
    "m4b", "m4r", "m4v", "mka", "mkv", "mov", "mp1", "mp2", "mp3", "mp4", "mpeg", "mpg", "mpga", "mts", "mxf", "nist",
    "oga", "ogg", "ogv", "opus", "qt", "qta", "ra", "rf64", "sln", "snd", "sph", "spx", "tta", "ts", "ulaw", "voc",
    "vox", "w64", "wav", "wave", "weba", "webm", "wma", "wmv", "wv",
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
    fn keys_of_a_manifest_are_relative_to_the_source_or_name_its_bucket() {
        let full_key = |prefix, key| full_key("calls", prefix, key);
        assert_eq!(full_key("in/", "a.wav").expect("valid"), "in/a.wav");
        assert_eq!(full_key("in", "a.wav").expect("valid"), "in/a.wav");
        assert_eq!(full_key("", "a.wav").expect("valid"), "a.wav");
        assert_eq!(full_key("in/", "s3://calls/in/a.wav").expect("valid"), "in/a.wav");
        assert!(full_key("in/", "s3://other/in/a.wav").expect_err("another bucket").contains("`other`"));
    }

    #[test]
    fn audio_is_known_by_its_ending() {
        for audio in ["a.wav", "x/y.MP3", "a.b.Opus", "通话.m4a", "Memo.qta", "a.weba", "a.3gpp", "a.w64", "a.AMR"] {
            assert!(looks_like_audio(audio), "{audio}");
        }
        for other in ["a.txt", "wav", "x.wav/readme", "a.json", ".gitignore", "a.wav.md5"] {
            assert!(!looks_like_audio(other), "{other}");
        }
    }
}
