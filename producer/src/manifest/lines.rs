//! The lines of a manifest, whichever format it is in.

use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::columns::entry;
use super::{BadLine, Entry, Line};
use crate::error::ProducerError;
use crate::sheet::{Fields, Row, Sheet};

impl From<Result<Entry, BadLine>> for Line {
    fn from(read: Result<Entry, BadLine>) -> Self {
        read.map_or_else(Self::Bad, Self::Entry)
    }
}

/// Longest line, bytes. A longer one is not a table.
const MAX_LINE: usize = 256 * 1024;

/// Reads to the end, or until `take` returns false.
pub(super) fn read(path: &Path, take: impl FnMut(Line) -> bool) -> Result<(), ProducerError> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "jsonl" | "ndjson" | "json" => {
            let file = File::open(path).map_err(|e| ProducerError::input(format!("{}: {e}", path.display())))?;
            read_json(path, BufReader::new(file), take)
        }
        _ => read_csv(path, take),
    }
}

fn read_csv(path: &Path, mut take: impl FnMut(Line) -> bool) -> Result<(), ProducerError> {
    let mut sheet = Sheet::open(path)?;
    if !sheet.header().iter().any(|name| name.eq_ignore_ascii_case("key")) {
        let has = sheet.header().join(", ");
        return Err(ProducerError::input(format!("{}: the header has no column `key`; it has: {has}", path.display())));
    }
    while let Some(Row { line, fields }) = sheet.next()? {
        let read = fields.map_err(|what| BadLine { line, what }).and_then(|fields| entry(line, fields));
        if !take(read.into()) {
            break;
        }
    }
    Ok(())
}

fn read_json(path: &Path, mut file: BufReader<File>, mut take: impl FnMut(Line) -> bool) -> Result<(), ProducerError> {
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let read = std::io::Read::take(&mut file, MAX_LINE as u64).read_until(b'\n', &mut text);
        match read {
            Ok(0) => break,
            Ok(_) if text.len() >= MAX_LINE => {
                return Err(ProducerError::input(format!(
                    "{}:{line}: the line has more than {MAX_LINE} bytes",
                    path.display()
                )));
            }
            Ok(_) => {}
            Err(e) => return Err(ProducerError::input(format!("{}: {e}", path.display()))),
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let read = match serde_json::from_slice::<serde_json::Map<String, Value>>(text) {
            Ok(object) => flat(object).map_err(|what| BadLine { line, what }).and_then(|fields| entry(line, fields)),
            Err(e) => Err(BadLine { line, what: format!("not a JSON object: {e}") }),
        };
        if !take(read.into()) {
            break;
        }
    }
    Ok(())
}

/// An object's fields as text; those of a nested `attributes` object are added to them.
fn flat(object: serde_json::Map<String, Value>) -> Result<Fields, String> {
    let mut fields = Fields::new();
    for (name, value) in object {
        match value {
            Value::Object(inner) if name == "attributes" => fields.extend(flat(inner)?),
            Value::Object(_) | Value::Array(_) => {
                return Err(format!("`{name}` must be a string, a number or a boolean"));
            }
            Value::Null => {}
            Value::String(text) => fields.push((name, text)),
            other => fields.push((name, other.to_string())),
        }
    }
    Ok(fields)
}
