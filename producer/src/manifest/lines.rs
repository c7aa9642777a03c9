//! The lines of a manifest, whichever format it is in.

use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::columns::{Fields, entry};
use super::{BadLine, Entry};
use crate::error::ProducerError;

/// Longest line, bytes: what is longer is no table.
const MAX_LINE: usize = 256 * 1024;

/// Reads until the end, or until `take` answers false.
pub(super) fn read(path: &Path, take: impl FnMut(Result<Entry, BadLine>) -> bool) -> Result<(), ProducerError> {
    let file = File::open(path).map_err(|e| ProducerError::input(format!("{}: {e}", path.display())))?;
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "jsonl" | "ndjson" | "json" => read_json(path, BufReader::new(file), take),
        _ => read_csv(path, BufReader::new(file), take),
    }
}

fn read_csv(
    path: &Path,
    mut file: BufReader<File>,
    mut take: impl FnMut(Result<Entry, BadLine>) -> bool,
) -> Result<(), ProducerError> {
    let wrong = |what: String| ProducerError::input(format!("{}: {what}", path.display()));
    let delimiter = delimiter(file.fill_buf().map_err(|e| wrong(e.to_string()))?);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    let header: Vec<String> = reader
        .headers()
        .map_err(|e| wrong(e.to_string()))?
        .iter()
        .map(|name| name.trim().trim_start_matches('\u{feff}').to_owned())
        .collect();
    if !header.iter().any(|name| name.eq_ignore_ascii_case("key")) {
        return Err(wrong(format!("the header has no column `key`; it has: {}", header.join(", "))));
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = header.iter().find(|name| !seen.insert(name.to_lowercase())) {
        return Err(wrong(format!("the header has column `{twice}` twice")));
    }
    let mut record = csv::StringRecord::new();
    loop {
        let before = reader.position().line();
        let read = match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let line = record.position().map_or(before, csv::Position::line);
                let fields: Fields = header.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
                entry(line, fields)
            }
            Err(e) if e.is_io_error() => return Err(wrong(e.to_string())),
            Err(e) => Err(BadLine { line: e.position().map_or(before, csv::Position::line), what: plain(&e) }),
        };
        if !take(read) {
            return Ok(());
        }
    }
}

fn read_json(
    path: &Path,
    mut file: BufReader<File>,
    mut take: impl FnMut(Result<Entry, BadLine>) -> bool,
) -> Result<(), ProducerError> {
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
            Err(e) => Err(BadLine { line, what: format!("no JSON object: {e}") }),
        };
        if !take(read) {
            break;
        }
    }
    Ok(())
}

/// An object's fields as text; those of a nested `attributes` object stand beside the others.
fn flat(object: serde_json::Map<String, Value>) -> Result<Fields, String> {
    let mut fields = Fields::new();
    for (name, value) in object {
        match value {
            Value::Object(inner) if name == "attributes" => fields.extend(flat(inner)?),
            Value::Object(_) | Value::Array(_) => {
                return Err(format!("`{name}` must be text, a number or a truth value"));
            }
            Value::Null => {}
            Value::String(text) => fields.push((name, text)),
            other => fields.push((name, other.to_string())),
        }
    }
    Ok(fields)
}

/// Comma, semicolon (as spreadsheets of half of Europe write) or tab: whichever the header has most of.
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
