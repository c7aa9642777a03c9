//! The character encoding of a table: as the user says, by its byte order mark, or by its bytes.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, GB18030, GBK, UTF_8, UTF_16BE, UTF_16LE};
use std::io::Read;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// How a file's bytes become text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoding {
    /// The encoding.
    pub(crate) encoding: &'static Encoding,
    /// What the user should know: it was detected, not given.
    pub(crate) notice: Option<String>,
}

/// The encoding with this name, as `--encoding` takes it.
pub(crate) fn named(label: &str) -> Result<&'static Encoding, String> {
    let lower = label.trim().to_ascii_lowercase();
    // As Windows and Java call them.
    let known = match lower.as_str() {
        "cp936" | "ms936" | "windows-936" | "936" | "euc-cn" => "gbk",
        "cp950" | "ms950" => "big5",
        "cp932" => "shift_jis",
        "cp949" => "euc-kr",
        "utf8-bom" | "utf-8-sig" | "utf-8-bom" => "utf-8",
        "utf16" => "utf-16",
        "utf16le" => "utf-16le",
        "utf16be" => "utf-16be",
        other => other,
    };
    let found = Encoding::for_label(known.as_bytes()).filter(|encoding| encoding.name() != "replacement");
    found.map(widest).ok_or_else(|| {
        format!("`{label}` is no encoding; known are utf-8, gbk, gb18030, utf-16le, utf-16be, big5, windows-1252, ...")
    })
}

/// GB 18030 has all of GBK.
fn widest(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == GBK { GB18030 } else { encoding }
}

/// The encoding of a text in memory.
///
/// # Errors
/// That it can't be told.
pub(crate) fn of(text: &[u8]) -> Result<&'static Encoding, String> {
    detect(text).map_err(|e| e.to_string())?.map(|found| found.encoding)
}

/// Finds the encoding of a text. UTF-8 with a few wrong bytes is still UTF-8: its wrong lines are told one by one.
///
/// # Errors
/// Of the file; or, as text, that the encoding can't be told.
pub(crate) fn detect(mut file: impl Read) -> std::io::Result<Result<Decoding, String>> {
    let mut seen = Seen::default();
    let mut guess = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut chunk = vec![0; CHUNK];
    let mut first = true;
    loop {
        let read = file.read(&mut chunk)?;
        if first {
            first = false;
            if chunk[..read].starts_with(&[0xff, 0xfe, 0, 0]) || chunk[..read].starts_with(&[0, 0, 0xfe, 0xff]) {
                return Ok(Err("the text is UTF-32: save it as UTF-8".into()));
            }
            if let Some((marked, _)) = Encoding::for_bom(&chunk[..read]) {
                let notice = (marked != UTF_8).then(|| format!("read as {}, by its byte order mark", marked.name()));
                return Ok(Ok(Decoding { encoding: marked, notice }));
            }
        }
        let bytes = &chunk[..read];
        seen.feed(bytes);
        guess.feed(bytes, read == 0);
        if read == 0 {
            break;
        }
    }
    let detected = |encoding: &'static Encoding| {
        let notice = Some(format!("read as {} (detected; --encoding names another)", encoding.name()));
        Ok(Ok(Decoding { encoding, notice }))
    };
    if let Some(utf16) = seen.utf16() {
        return detected(utf16);
    }
    if seen.is_utf8() {
        return Ok(Ok(Decoding { encoding: UTF_8, notice: None }));
    }
    // A short text may be Chinese or western: where the guess hangs on the country, nobody can tell.
    let (anywhere, in_china) = (guess.guess(None, Utf8Detection::Deny), guess.guess(Some(b"cn"), Utf8Detection::Deny));
    if anywhere != in_china {
        return Ok(Err(format!(
            "the text is not UTF-8; it may be {} or {}: say which with --encoding",
            widest(in_china).name(),
            anywhere.name()
        )));
    }
    detected(widest(anywhere))
}

/// What the bytes show.
#[derive(Debug, Default)]
struct Seen {
    /// Characters of more than one byte that are valid UTF-8.
    valid: u64,
    invalid: u64,
    zeros_at_even: u64,
    zeros_at_odd: u64,
    position: u64,
    /// The beginning of a character at the end of the last chunk.
    open: Vec<u8>,
}

impl Seen {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == 0 {
                *(if self.position.is_multiple_of(2) { &mut self.zeros_at_even } else { &mut self.zeros_at_odd }) += 1;
            }
            self.position += 1;
        }
        let mut open = std::mem::take(&mut self.open);
        if bytes.is_empty() {
            self.invalid += u64::from(!open.is_empty());
            return;
        }
        open.extend_from_slice(bytes);
        let mut rest = open.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => return self.count(text),
                Err(error) => {
                    let (valid, behind) = rest.split_at(error.valid_up_to());
                    self.count(std::str::from_utf8(valid).unwrap_or_default());
                    let Some(wrong) = error.error_len() else {
                        self.open = behind.to_vec();
                        return;
                    };
                    self.invalid += 1;
                    rest = &behind[wrong..];
                }
            }
        }
    }

    fn count(&mut self, text: &str) {
        self.valid += text.chars().filter(|c| !c.is_ascii()).count() as u64;
    }

    fn is_utf8(&self) -> bool {
        self.invalid == 0 || self.valid > 4 * self.invalid
    }

    /// UTF-16 without a mark: in a table, every second byte of what is ASCII (commas, digits) is zero.
    fn utf16(&self) -> Option<&'static Encoding> {
        let (even, odd) = (self.zeros_at_even, self.zeros_at_odd);
        let many = even + odd > self.position / 10;
        match (many, even > 4 * odd, odd > 4 * even) {
            (true, true, _) => Some(UTF_16BE),
            (true, _, true) => Some(UTF_16LE),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Result<&'static str, String> {
        detect(bytes).expect("readable").map(|d| d.encoding.name())
    }

    #[test]
    fn tables_of_chinese_spreadsheets_are_detected_and_it_is_said() {
        let text = "录音文件,客服工号,客户姓名,开始时间\n通话/一号录音.wav,客服甲,张三,2026/11/22 14:05\n";
        let gbk = encoding_rs::GBK.encode(text).0;
        assert_eq!(name(&gbk).as_deref(), Ok("gb18030"));
        let notice = detect(&*gbk).expect("readable").expect("detected").notice.expect("said");
        assert!(notice.contains("gb18030") && notice.contains("--encoding"), "{notice}");
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!((name(&little).as_deref(), name(&big).as_deref()), (Ok("UTF-16LE"), Ok("UTF-16BE")));
        let marked: Vec<u8> = "\u{feff}key\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(name(&marked).as_deref(), Ok("UTF-16LE"));
    }

    #[test]
    fn utf8_needs_no_word_even_with_a_wrong_byte() {
        for text in ["key\na.wav\n".as_bytes(), "key\n通话.wav\n".as_bytes(), b"\xef\xbb\xbfkey\n", b""] {
            let found = detect(text).expect("readable").expect("detected");
            assert_eq!((found.encoding, found.notice), (UTF_8, None));
        }
        let mut broken = "key,agent\n通话一.wav,客服人员\n".as_bytes().to_vec();
        broken.push(0xff);
        assert_eq!(name(&broken).as_deref(), Ok("UTF-8"));
        // A character on the border of two chunks.
        let long = format!("{}通话", "a".repeat(CHUNK - 1));
        assert_eq!(name(long.as_bytes()).as_deref(), Ok("UTF-8"));
    }

    #[test]
    fn names_of_other_programs_are_understood() {
        for (label, encoding) in
            [("GBK", "gb18030"), ("cp936", "gb18030"), ("utf-8-sig", "UTF-8"), ("UTF16", "UTF-16LE")]
        {
            assert_eq!(named(label).map(Encoding::name), Ok(encoding), "{label}");
        }
        assert!(named("chinese-ish").is_err() && named("hz-gb-2312").is_err());
    }
}
