//! What is stored under a recording's name and is no sound, so that the failure says what to do.

/// First bytes, and what begins so.
const ARCHIVES: [(&[u8], &str); 8] = [
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
];
/// First bytes of others.
const OTHERS: [(&[u8], &str); 6] = [
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff\xe0", "a picture (JPEG)"),
    (b"version https://git-lfs", "a pointer of Git LFS: fetch the file that it stands for"),
    (b"-----BEGIN PGP", "an encrypted message (PGP)"),
    (b"Salted__", "an encrypted file (OpenSSL)"),
];
/// Letters of base64 at the beginning that are no chance, and how many of them are different.
const BASE64: usize = 256;
const BASE64_LETTERS: usize = 12;

/// A sentence about a file that begins so.
pub(super) fn describe(head: &[u8]) -> String {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let named = |names: &[(&[u8], &'static str)]| {
        names.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
    };
    if let Some(name) = named(&ARCHIVES) {
        return format!("the content is {name}: unpack it first");
    }
    if head.get(257..262) == Some(b"ustar") {
        return "the content is a tar archive: unpack it first".into();
    }
    if let Some(name) = named(&OTHERS) {
        return format!("the content is {name}");
    }
    let text = head.trim_ascii_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()));
    if begins("<!doctype html") || begins("<html") {
        return "the content is a web page (HTML): a server has sent it in place of the recording".into();
    }
    if begins("<?xml") || begins("<error>") {
        return "the content is XML: a store has sent an error in place of the recording, or it is call data".into();
    }
    if begins("{\"") || begins("[{") || begins("{\n") || begins("{ ") {
        return "the content is JSON: a server has sent an error in place of the recording, or it is call data".into();
    }
    if begins("http/1.") {
        return "the content is an answer of a web server with its headers: store the body alone".into();
    }
    let encoded = text
        .strip_prefix(b"data:")
        .map_or(text, |rest| rest.iter().position(|byte| *byte == b',').map_or(rest, |comma| &rest[comma + 1..]));
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    let letters: std::collections::HashSet<u8> = encoded.iter().take(BASE64).copied().collect();
    if encoded.len() >= BASE64 && letters.len() >= BASE64_LETTERS && encoded[..BASE64].iter().all(is_letter) {
        return "the content is base64: decode it first".into();
    }
    "the content is of no known audio format, whatever the file's name says".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_sound_is_named_with_what_to_do() {
        for (head, word) in [
            (&b"\x1f\x8b\x08\0"[..], "gzip"),
            (b"PK\x03\x04", "ZIP"),
            (b"%PDF-1.4", "PDF"),
            (b"\xef\xbb\xbf <!DOCTYPE HTML>\n<title>403", "web page"),
            (b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey", "XML"),
            (b"{\"error\":\"not found\"}", "JSON"),
            (b"HTTP/1.1 200 OK\r\n", "headers"),
            (&b"UklGRiSAAABXQVZFZm10IBAAAAABAAEA".repeat(9), "base64"),
            (&[b'U'; 300], "no known audio format"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b"Dear recorder", "no known audio format"),
            (b"", "no known audio format"),
        ] {
            assert!(describe(head).contains(word), "{word}: {}", describe(head));
        }
    }
}
