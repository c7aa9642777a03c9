//! CSV records with the number of their first line.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use std::io::{Read, Result};

use super::lines::{MAX_LINE, TextLine, TextLines};

/// A record, or what is wrong with its lines.
pub(super) type Record = (u64, std::result::Result<Vec<String>, String>);

/// Reads records. A quote that never closes costs its own line only.
pub(super) struct Records<R: Read> {
    lines: TextLines<R>,
    reader: Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: Read> Records<R> {
    pub(super) fn new(lines: TextLines<R>, delimiter: u8) -> Self {
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        Self { lines, reader, output: vec![0; 1024], ends: vec![0; 64] }
    }

    /// The next record that is no empty line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        let first = loop {
            match self.lines.next()? {
                Some(line) if line.text.trim().is_empty() && !line.cut => {}
                Some(line) => break line,
                None => return Ok(None),
            }
        };
        let number = first.number;
        if first.cut {
            return Ok(Some((number, Err(format!("the line has more than {MAX_LINE} bytes")))));
        }
        self.reader.reset();
        let (mut written, mut fields, mut bytes) = (0, 0, 0);
        let mut more: Vec<TextLine> = Vec::new();
        let mut text = first.text;
        loop {
            bytes += text.len() + 1;
            text.push('\n');
            if self.feed(text.as_bytes(), &mut written, &mut fields) {
                let record = self.fields(written, fields);
                let undecodable = record.iter().any(|field| field.contains('\u{fffd}'));
                let wrong = "it has bytes that are not text in the file's encoding; --encoding names another";
                return Ok(Some((number, if undecodable { Err(wrong.into()) } else { Ok(record) })));
            }
            let next = if bytes > MAX_LINE { None } else { self.lines.next()? };
            let Some(next) = next else {
                self.lines.put_back(more.into_iter());
                return Ok(Some((number, Err("a quote (\") opens here and never closes".into()))));
            };
            text.clone_from(&next.text);
            more.push(next);
        }
    }

    /// Whether the record ends with this line.
    fn feed(&mut self, mut input: &[u8], written: &mut usize, fields: &mut usize) -> bool {
        loop {
            let (result, read, wrote, ended) =
                self.reader.read_record(input, &mut self.output[*written..], &mut self.ends[*fields..]);
            input = &input[read..];
            *written += wrote;
            *fields += ended;
            match result {
                ReadRecordResult::OutputFull => self.output.resize(self.output.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => return true,
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return false,
            }
        }
    }

    fn fields(&self, written: usize, fields: usize) -> Vec<String> {
        let mut from = 0;
        let field = |end: &usize| {
            let field = String::from_utf8_lossy(&self.output[from..(*end).min(written)]).into_owned();
            from = *end;
            field
        };
        self.ends[..fields].iter().map(field).collect()
    }
}
