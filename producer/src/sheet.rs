//! A table as spreadsheets save it: CSV with a header, separated by commas, semicolons or tabs.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::error::ProducerError;

/// A line's fields: name of the column and value.
pub(crate) type Fields = Vec<(String, String)>;

/// A line under the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Line in the file, from 1.
    pub(crate) line: u64,
    /// Its fields, or what is wrong with it.
    pub(crate) fields: Result<Fields, String>,
}

/// A table that is read line by line.
pub(crate) struct Sheet {
    path: String,
    reader: csv::Reader<BufReader<File>>,
    header: Vec<String>,
    record: csv::StringRecord,
}

impl Sheet {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`ProducerError::Input`]: it can't be read, or names a column twice.
    pub(crate) fn open(path: &Path) -> Result<Self, ProducerError> {
        let wrong = |what: String| ProducerError::input(format!("{}: {what}", path.display()));
        let mut file = BufReader::new(File::open(path).map_err(|e| wrong(e.to_string()))?);
        let delimiter = delimiter(file.fill_buf().map_err(|e| wrong(e.to_string()))?);
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(file);
        let header: Vec<String> = reader
            .headers()
            .map_err(|e| wrong(plain(&e)))?
            .iter()
            .map(|name| name.trim().trim_start_matches('\u{feff}').to_owned())
            .collect();
        let mut seen = HashSet::new();
        if let Some(twice) = header.iter().find(|name| !seen.insert(name.to_lowercase())) {
            return Err(wrong(format!("the header has column `{twice}` twice")));
        }
        Ok(Self { path: path.display().to_string(), reader, header, record: csv::StringRecord::new() })
    }

    /// Names of the columns, as written.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// [`ProducerError::Input`] when the file can't be read on.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, ProducerError> {
        let before = self.reader.position().line();
        let row = match self.reader.read_record(&mut self.record) {
            Ok(false) => return Ok(None),
            Ok(true) => {
                let line = self.record.position().map_or(before, csv::Position::line);
                let fields = self.header.iter().cloned().zip(self.record.iter().map(str::to_owned));
                Row { line, fields: Ok(fields.collect()) }
            }
            Err(e) if e.is_io_error() => return Err(ProducerError::input(format!("{}: {e}", self.path))),
            Err(e) => Row { line: e.position().map_or(before, csv::Position::line), fields: Err(plain(&e)) },
        };
        Ok(Some(row))
    }
}

/// Comma, semicolon (as spreadsheets in much of Europe write) or tab: the one that the header has most of.
fn delimiter(beginning: &[u8]) -> u8 {
    let header = beginning.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |d: u8| header.split(|b| *b == d).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|d| count(*d)).unwrap_or(b',')
}

fn plain(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields; the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".into(),
        _ => error.to_string(),
    }
}
