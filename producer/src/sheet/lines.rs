//! Lines of a text with their numbers, whichever way they end: LF, CRLF or CR.

use encoding_rs::Encoding;
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result};

/// Longest line, bytes. A longer one is no line of a table.
pub(crate) const MAX_LINE: usize = 256 * 1024;

/// A line without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextLine {
    /// From 1.
    pub(crate) number: u64,
    /// At most [`MAX_LINE`] bytes; undecodable bytes are U+FFFD.
    pub(crate) text: String,
    /// There was more: the rest was passed over.
    pub(crate) cut: bool,
}

/// A decoded file, line by line.
pub(crate) struct TextLines<R: Read = File> {
    reader: BufReader<DecodeReaderBytes<R, Vec<u8>>>,
    number: u64,
    after_cr: bool,
    /// Lines that were put back.
    back: VecDeque<TextLine>,
}

impl<R: Read> TextLines<R> {
    pub(crate) fn new(file: R, encoding: &'static Encoding) -> Self {
        let decoder = DecodeReaderBytesBuilder::new().encoding(Some(encoding)).strip_bom(true).build(file);
        Self { reader: BufReader::new(decoder), number: 0, after_cr: false, back: VecDeque::new() }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<TextLine>> {
        if let Some(line) = self.back.pop_front() {
            return Ok(Some(line));
        }
        let (mut bytes, mut cut, mut any) = (Vec::new(), false, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            if std::mem::take(&mut self.after_cr) && buffer[0] == b'\n' {
                self.reader.consume(1);
                continue;
            }
            any = true;
            let end = buffer.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = MAX_LINE.saturating_sub(bytes.len());
            cut |= part.len() > room;
            bytes.extend_from_slice(&part[..part.len().min(room)]);
            let Some(end) = end else {
                let all = buffer.len();
                self.reader.consume(all);
                continue;
            };
            self.after_cr = buffer[end] == b'\r';
            self.reader.consume(end + 1);
            break;
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(TextLine { number: self.number, text, cut }))
    }

    /// Puts lines back, to be read again in this order.
    pub(crate) fn put_back(&mut self, lines: impl DoubleEndedIterator<Item = TextLine>) {
        for line in lines.rev() {
            self.back.push_front(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_end_a_line_counts_one() {
        let mut lines = TextLines::new(&b"\xef\xbb\xbfa\r\n\r\nb\rc\n\nd"[..], encoding_rs::UTF_8);
        let mut found = Vec::new();
        while let Some(line) = lines.next().expect("readable") {
            found.push((line.number, line.text));
        }
        let expected = [(1, "a"), (2, ""), (3, "b"), (4, "c"), (5, ""), (6, "d")].map(|(n, t)| (n, t.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let long = format!("{}\nb", "x".repeat(MAX_LINE + 5));
        let mut lines = TextLines::new(long.as_bytes(), encoding_rs::UTF_8);
        let line = lines.next().expect("readable").expect("one");
        assert!(line.cut && line.text.len() == MAX_LINE);
        assert_eq!(lines.next().expect("readable").expect("one").text, "b");
    }
}
