//! How much of a manifest that is being written is whole: half a line would be read as other call data.

use std::io::{BufRead, BufReader, Read, Result};

use crate::sheet::MAX_LINE;

/// Bytes that show what a file is.
const BEGINNING: u64 = 4096;
/// How workbooks begin: as an archive, or as an older file of compounds.
const WORKBOOKS: [&[u8]; 2] = [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"];
/// Any character that is no part of the syntax.
const OTHER: u8 = b'x';

/// Bytes up to the end of the last whole line, record or object; 0 where nothing is whole, as of a workbook or an array,
/// which are whole at their end only.
pub(super) fn whole(mut file: impl Read) -> Result<u64> {
    let mut beginning = Vec::new();
    file.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
    if WORKBOOKS.iter().any(|magic| beginning.starts_with(magic)) {
        return Ok(0);
    }
    let width = Width::of(&beginning);
    let mut scan = Scan::default();
    let mut reader = BufReader::new(beginning.chain(file));
    let mut rest = Vec::new();
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(scan.end());
        }
        rest.extend_from_slice(buffer);
        let read = buffer.len();
        reader.consume(read);
        let step = width.step();
        for unit in rest.chunks_exact(step) {
            scan.add(width.character(unit), step as u64);
        }
        rest.drain(..rest.len() - rest.len() % step);
    }
}

/// How the characters of the syntax are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    One,
    LittleEndian,
    BigEndian,
}

impl Width {
    fn of(beginning: &[u8]) -> Self {
        let zeros = |odd: usize| beginning.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
        match (beginning, zeros(0), zeros(1)) {
            ([0xff, 0xfe, ..], ..) => Self::LittleEndian,
            ([0xfe, 0xff, ..], ..) => Self::BigEndian,
            (_, 0, 0) => Self::One,
            (_, even, odd) => {
                if odd > even {
                    Self::LittleEndian
                } else {
                    Self::BigEndian
                }
            }
        }
    }

    fn step(self) -> usize {
        if self == Self::One { 1 } else { 2 }
    }

    fn character(self, unit: &[u8]) -> u8 {
        match (self, unit) {
            (Self::One, [byte]) | (Self::LittleEndian, [byte, 0]) | (Self::BigEndian, [0, byte]) => *byte,
            _ => OTHER,
        }
    }
}

/// What a text is, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Objects,
    Array,
}

/// The state behind some characters.
#[derive(Debug, Default)]
struct Scan {
    kind: Option<Kind>,
    position: u64,
    whole: u64,
    /// In a quoted field, or a text.
    quoted: bool,
    /// The character before, and the end of the last line in an open quote, with the quote's begin.
    before: u8,
    opened: u64,
    line_in_quote: u64,
    escaped: bool,
    /// Brackets that are open.
    depth: u32,
}

impl Scan {
    fn add(&mut self, character: u8, bytes: u64) {
        let begin = self.position;
        self.position += bytes;
        let is_mark = begin < 4 && matches!(character, 0xef | 0xbb | 0xbf | 0xff | 0xfe | OTHER);
        if self.kind.is_none() && !character.is_ascii_whitespace() && !is_mark {
            self.kind = Some(match character {
                b'{' => Kind::Objects,
                b'[' => Kind::Array,
                _ => Kind::Table,
            });
            self.before = b'\n';
        }
        match self.kind {
            Some(Kind::Table) => self.add_to_table(character, begin),
            Some(Kind::Objects | Kind::Array) => self.add_to_json(character, begin),
            None => {}
        }
        self.before = character;
    }

    fn add_to_table(&mut self, character: u8, begin: u64) {
        let ends = matches!(character, b'\n' | b'\r');
        if self.quoted {
            if ends {
                self.line_in_quote = self.position;
            }
            self.quoted = character != b'"';
            // A quote that never closes costs its own line only.
            if begin - self.opened > MAX_LINE as u64 {
                (self.quoted, self.whole) = (false, self.whole.max(self.line_in_quote));
            }
        } else if ends {
            self.whole = self.position;
        } else if character == b'"' && matches!(self.before, b'"' | b',' | b';' | b'\t' | b'|' | b'\n' | b'\r') {
            // Of two quotes in a row, the second opens again what the first has closed.
            (self.quoted, self.opened) = (true, begin);
        }
    }

    fn add_to_json(&mut self, character: u8, begin: u64) {
        let begins_line = matches!(self.before, b'\n' | b'\r');
        if self.kind == Some(Kind::Objects) && begins_line && character == b'{' {
            // The object before was cut off, or is whole.
            (self.quoted, self.depth, self.whole) = (false, 0, begin);
        }
        if self.quoted {
            self.quoted = self.escaped || character != b'"';
            self.escaped = !self.escaped && character == b'\\';
            return;
        }
        match character {
            b'"' => self.quoted = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b'\n' | b'\r' if self.depth == 0 && self.kind == Some(Kind::Objects) => self.whole = self.position,
            _ => {}
        }
        if self.kind == Some(Kind::Array) {
            self.whole = if self.depth == 0 { self.position } else { 0 };
        }
    }

    fn end(&self) -> u64 {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> &str {
        let length = whole(text.as_bytes()).expect("read");
        &text[..usize::try_from(length).expect("short")]
    }

    #[test]
    fn a_table_is_whole_up_to_its_last_line_end_outside_of_quotes() {
        for (whole, part) in [
            ("key,agent\na.wav,a7\n", "b.wav,a"),
            ("key,agent\n", ""),
            ("", "key,ag"),
            ("", ""),
            ("key,agent\r\na.wav,a7\r\n", "b.wav"),
            ("key,agent\ra.wav,a7\r", "b.wav,a"),
            ("\u{feff}key;note\na.wav;\"one\ntwo\"\n", "b.wav;\"one\ntw"),
            ("key;note\na.wav;\"he said \"\"no\"\"\nand left\"\n", "b.wav;\"he said \"\"yes\"\"\nand"),
            ("key,note\na.wav,\"\"\nb.wav,\"x\"\n", "c.wav,\""),
            // A quote within a field is none.
            ("key,note\na.wav,5\" pipe\nb.wav,x\n", "c.wav,6\" p"),
            ("key,通话\na.wav,张三\n", "b.wav,李"),
            ("sep=;\nkey;agent\na.wav;a7\n", "b"),
        ] {
            assert_eq!(kept(&format!("{whole}{part}")), whole);
        }
        let open = format!("key,note\na.wav,\"open\n{}", "b.wav,x\n".repeat(MAX_LINE / 4));
        assert!(kept(&open).len() > MAX_LINE, "what is behind a quote that never closes is read");
    }

    #[test]
    fn objects_and_arrays_are_whole_at_their_end() {
        let object = "{\"key\":\"a {.wav\",\"note\":\"say \\\"}\\\"\"}\n";
        for (whole, part) in [
            (object, "{\"key\":\"b.wav\",\"age"),
            (&format!("{object}{object}"), "{"),
            ("{\n \"key\":\"a\"\n}\n", "{\n \"key\":\"b\",\n"),
            // An object that was cut off is told; what comes after it is read.
            ("{\"key\":\"a\n{\"key\":\"b\"}\n", "{\"k"),
            ("[{\"key\":\"a]\"}]", ""),
            ("\n [{\"key\":\"a\"}, {\"x\": []}]\n", ""),
            ("", "[{\"key\":\"a\"}, {\"key\":\"b\"}"),
            ("", "[{\"key\":\"a\"},\n"),
        ] {
            assert_eq!(kept(&format!("{whole}{part}")), whole);
        }
    }

    #[test]
    fn text_of_two_bytes_a_character_is_cut_between_lines_and_a_workbook_is_whole_or_nothing() {
        for mark in ["\u{feff}", ""] {
            let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
            let (all, first) = (units(&format!("{mark}key,通\na,话\nb,")), units(&format!("{mark}key,通\na,话\n")));
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                let written: Vec<u8> = all.iter().flat_map(|unit| bytes(*unit)).collect();
                for cut in [0, 1, 2] {
                    let found = whole(&written[..written.len() - cut]).expect("read");
                    assert_eq!(found, first.len() as u64 * 2, "{mark:?} {cut}");
                }
            }
        }
        assert_eq!(whole(&b"PK\x03\x04a\nb\n"[..]).expect("read"), 0);
    }
}
