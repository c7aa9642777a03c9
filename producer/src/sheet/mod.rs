//! A table as spreadsheets save it: CSV with a header, separated by commas, semicolons, tabs or bars, in whatever
//! encoding; or a workbook.

mod date_formats;
mod encoding;
mod lines;
mod records;
mod workbook;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub(crate) use encoding::named as encoding_named;
pub(crate) use encoding::of as encoding_of;
pub(crate) use lines::{MAX_LINE, TextLine, TextLines};

use crate::error::ProducerError;
use encoding_rs::Encoding;
use records::{Record, Records};
use workbook::Workbook;

/// A line's fields: name of the column and value.
pub(crate) type Fields = Vec<(String, String)>;

/// Bytes that show what a file is.
const BEGINNING: u64 = 4096;

/// A line under the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Line in the file, or row of the sheet, from 1.
    pub(crate) line: u64,
    /// Its fields, or what is wrong with it.
    pub(crate) fields: Result<Fields, String>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Fields between separators.
    Csv,
    /// An object per line.
    JsonLines,
    /// An array of objects.
    JsonArray,
    /// Of a spreadsheet program.
    Workbook,
}

/// A file whose kind and encoding are known, so that it can be read more than once alike.
#[derive(Debug, Clone)]
pub(crate) struct TableFile {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    encoding: &'static Encoding,
    /// What the user should know about how it is read.
    pub(crate) notices: Vec<String>,
}

impl TableFile {
    /// Looks at a file.
    ///
    /// # Errors
    /// [`ProducerError::Input`]: it can't be read, or its encoding can't be told.
    pub(crate) fn look(path: &Path, encoding: Option<&'static Encoding>) -> Result<Self, ProducerError> {
        let wrong = |what: String| ProducerError::input(format!("{}: {what}", path.display()));
        let open = || File::open(path).map_err(|e| wrong(e.to_string()));
        let reading = |e: std::io::Error| wrong(e.to_string());
        let mut beginning = Vec::new();
        open()?.take(BEGINNING).read_to_end(&mut beginning).map_err(reading)?;
        if workbook::is_workbook(&beginning) {
            return Ok(Self { path: path.into(), kind: Kind::Workbook, encoding: encoding_rs::UTF_8, notices: vec![] });
        }
        let (encoding, notice) = if let Some(encoding) = encoding {
            (encoding, None)
        } else {
            let found = encoding::detect(open()?).map_err(reading)?.map_err(wrong)?;
            (found.encoding, found.notice)
        };
        let mut file = Self { path: path.into(), kind: Kind::Csv, encoding, notices: notice.into_iter().collect() };
        let mut lines = file.lines()?;
        let begin = loop {
            match lines.next().map_err(reading)? {
                Some(line) if line.text.trim().is_empty() => {}
                line => break line.and_then(|line| line.text.trim_start().chars().next()),
            }
        };
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        file.kind = match (begin, ending.as_str()) {
            (Some('['), _) => Kind::JsonArray,
            (Some('{'), _) | (_, "jsonl" | "ndjson" | "json") => Kind::JsonLines,
            _ => Kind::Csv,
        };
        Ok(file)
    }

    /// Its lines as text.
    ///
    /// # Errors
    /// [`ProducerError::Input`].
    pub(crate) fn lines(&self) -> Result<TextLines, ProducerError> {
        let file = File::open(&self.path);
        let file = file.map_err(|e| ProducerError::input(format!("{}: {e}", self.path.display())))?;
        Ok(TextLines::new(file, self.encoding))
    }
}

enum Rows {
    Text(Box<Records<File>>),
    Workbook(Workbook),
}

/// A table that is read line by line.
pub(crate) struct Sheet {
    path: String,
    rows: Rows,
    header: Vec<String>,
    /// What the user should know about how it is read.
    pub(crate) notices: Vec<String>,
}

impl Sheet {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`ProducerError::Input`]: it can't be read, or names a column twice.
    pub(crate) fn open(path: &Path) -> Result<Self, ProducerError> {
        Self::of(&TableFile::look(path, None)?)
    }

    /// The same, of a file that was looked at.
    ///
    /// # Errors
    /// As [`Sheet::open`].
    pub(crate) fn of(file: &TableFile) -> Result<Self, ProducerError> {
        let wrong = |what: String| ProducerError::input(format!("{}: {what}", file.path.display()));
        let mut notices = file.notices.clone();
        let rows = if file.kind == Kind::Workbook {
            let mut book = Workbook::open(&file.path).map_err(wrong)?;
            notices.extend(book.notice.take());
            Rows::Workbook(book)
        } else {
            let mut lines = file.lines()?;
            let delimiter = delimiter(&mut lines).map_err(|e| wrong(e.to_string()))?;
            Rows::Text(Box::new(Records::new(lines, delimiter)))
        };
        let mut sheet = Self { path: file.path.display().to_string(), rows, header: Vec::new(), notices };
        let Some((line, header)) = sheet.record()? else { return Ok(sheet) };
        let header = header.map_err(|what| wrong(format!("line {line}, the header: {what}")))?;
        sheet.header = header.iter().map(|name| name.trim().to_owned()).collect();
        let mut seen = HashSet::new();
        let named = sheet.header.iter().filter(|name| !name.is_empty());
        if let Some(twice) = named.into_iter().find(|name| !seen.insert(name.to_lowercase())) {
            return Err(wrong(format!("the header has column `{twice}` twice")));
        }
        Ok(sheet)
    }

    /// Names of the columns, as written; that of an unnamed one is empty.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The next row that has any value; `None` at the end.
    ///
    /// # Errors
    /// [`ProducerError::Input`] when the file can't be read on.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, ProducerError> {
        while let Some((line, record)) = self.record()? {
            let record = match record {
                Ok(record) if record.iter().all(|field| field.trim().is_empty()) => continue,
                other => other,
            };
            return Ok(Some(Row { line, fields: record.and_then(|record| self.named(record)) }));
        }
        Ok(None)
    }

    fn record(&mut self) -> Result<Option<Record>, ProducerError> {
        match &mut self.rows {
            Rows::Workbook(book) => Ok(book.rows.next()),
            Rows::Text(records) => records.next().map_err(|e| ProducerError::input(format!("{}: {e}", self.path))),
        }
    }

    /// Fields with the names of their columns. Empty fields without a name, or behind the last column, are none.
    fn named(&self, mut record: Vec<String>) -> Result<Fields, String> {
        let columns = self.header.len();
        while record.len() > columns && record.last().is_some_and(|field| field.trim().is_empty()) {
            record.pop();
        }
        if record.len() != columns {
            return Err(format!("it has {} fields; the header has {columns}", record.len()));
        }
        let mut fields = Fields::with_capacity(columns);
        for (i, (name, value)) in self.header.iter().zip(record).enumerate() {
            if !name.is_empty() {
                fields.push((name.clone(), value));
            } else if !value.trim().is_empty() {
                return Err(format!("column {} has the value `{}`, but no name in the header", i + 1, value.trim()));
            }
        }
        Ok(fields)
    }
}

/// The separator: Excel's `sep=;` says it; else the one that the header has most of, outside of quotes.
fn delimiter(lines: &mut TextLines) -> std::io::Result<u8> {
    let first = loop {
        match lines.next()? {
            Some(line) if line.text.trim().is_empty() => {}
            Some(line) => break line,
            None => return Ok(b','),
        }
    };
    let said = first.text.trim().trim_matches('"').to_ascii_lowercase();
    if let Some(separator) = said.strip_prefix("sep=") {
        if let [separator] = separator.as_bytes() {
            return Ok(*separator);
        }
        // `sep=` and a tab: the tab was trimmed away.
        return Ok(if first.text.contains('\t') { b'\t' } else { b',' });
    }
    let mut quoted = false;
    let outside: String = first
        .text
        .chars()
        .filter(|c| {
            quoted ^= *c == '"';
            !quoted
        })
        .collect();
    let count = |d: &u8| outside.bytes().filter(|b| b == d).count();
    let delimiter = [b'|', b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',');
    lines.put_back(std::iter::once(first));
    Ok(delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> Vec<(u64, Result<Fields, String>)> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv");
        std::fs::write(&path, bytes).expect("written");
        let mut sheet = Sheet::open(&path).expect("a table");
        let mut rows = Vec::new();
        while let Some(row) = sheet.next().expect("readable") {
            rows.push((row.line, row.fields));
        }
        rows
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_separator_that_excel_announces_is_taken() {
        for text in [
            "sep=;\r\nkey;call_id\r\na.wav;c-1\r\n",
            "\u{feff}sep=;\nkey;call_id\na.wav;c-1\n",
            "\"sep=;\"\nkey;call_id\na.wav;c-1",
        ] {
            let rows = rows(text.as_bytes());
            assert_eq!(rows.last().expect("one").1, Ok(fields(&[("key", "a.wav"), ("call_id", "c-1")])), "{text}");
            assert_eq!((rows.len(), rows[0].0), (1, 3));
        }
        assert_eq!(rows(b"sep=\t\nkey\tx\na\t1\n")[0].1, Ok(fields(&[("key", "a"), ("x", "1")])));
        assert_eq!(rows(b"key|x\na|1\n")[0].1, Ok(fields(&[("key", "a"), ("x", "1")])));
        assert_eq!(rows(b"\"a,b,c\";x\n1;2\n")[0].1, Ok(fields(&[("a,b,c", "1"), ("x", "2")])));
    }

    #[test]
    fn empty_rows_and_unnamed_columns_without_values_are_no_error() {
        let rows = rows(
            "\u{feff}key;call_id;;\r\na.wav;c-1;;\r\n;;;\r\n\r\nb.wav;c-2\r\nc.wav;c-3;;;;\r\nd.wav;c-4;x;\r\n"
                .as_bytes(),
        );
        assert_eq!(rows[0], (2, Ok(fields(&[("key", "a.wav"), ("call_id", "c-1")]))));
        assert_eq!(rows[1], (5, Err("it has 2 fields; the header has 4".into())));
        assert_eq!(rows[2].1, Ok(fields(&[("key", "c.wav"), ("call_id", "c-3")])));
        assert!(rows[3].1.as_ref().expect_err("unnamed").contains("column 3 has the value `x`"));
    }

    #[test]
    fn line_numbers_are_those_of_an_editor() {
        for (end, quoted) in [("\n", "x\ny"), ("\r\n", "x\r\ny"), ("\r", "x\ry")] {
            let text = format!("key,a{end}1,\"{quoted}\"{end}{end}2,b{end}3,c{end}");
            let found: Vec<u64> = rows(text.as_bytes()).into_iter().map(|(line, _)| line).collect();
            assert_eq!(found, [2, 5, 6], "{text:?}");
        }
    }

    #[test]
    fn a_quote_that_never_closes_costs_its_own_line() {
        let rows = rows(b"key,a\n1,x\n2,\"y\n3,z\n4,w\n");
        assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert!(rows[1].1.as_ref().expect_err("open").contains("never closes"));
        assert!(rows[2].1.is_ok() && rows[3].1.is_ok());
    }

    #[test]
    fn a_byte_that_is_no_text_costs_its_own_line() {
        let rows =
            rows(b"key,a\n\xe9\x80\x9a\xe8\xaf\x9d,\xe5\xbc\xa0\xe4\xb8\x89\xe6\x9d\x8e\xe5\x9b\x9b\n2,\xff\n3,z\n");
        assert!(rows[0].1.is_ok() && rows[1].1.is_err() && rows[2].1.is_ok());
    }
}
