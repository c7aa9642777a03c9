//! The lines of a manifest, whichever format it is in.

use std::collections::VecDeque;
use std::io::Read;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::columns::entry;
use super::names::{KNOWN, Meaning, letters, meaning, related};
use super::{BadLine, Entry, Line, Manifest, ManifestOptions};
use crate::error::ProducerError;
use crate::sheet::{Fields, Kind, MAX_LINE, Row, Sheet, TextLine, TextLines, encoding_of};

impl From<Result<Entry, BadLine>> for Line {
    fn from(read: Result<Entry, BadLine>) -> Self {
        read.map_or_else(Self::Bad, Self::Entry)
    }
}

/// Largest JSON array, bytes: it is in memory as a whole.
const MAX_ARRAY: u64 = 512 * 1024 * 1024;

impl Manifest {
    /// Reads to the end, or until `take` returns false.
    pub(super) fn read(&self, mut take: impl FnMut(Line) -> bool) -> Result<(), ProducerError> {
        match self.file.kind {
            Kind::JsonLines => self.read_json_lines(&mut take),
            Kind::JsonArray => self.read_json_array(&mut take),
            Kind::Csv | Kind::Workbook => self.read_sheet(&mut take),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> ProducerError {
        ProducerError::input(format!("{}: {what}", self.file.path.display()))
    }

    /// What the user should know before anything is read.
    pub(super) fn notices(&self) -> Result<Vec<String>, ProducerError> {
        let mut notices = self.file.notices.clone();
        if matches!(self.file.kind, Kind::Csv | Kind::Workbook) {
            let sheet = self.checked_sheet()?;
            notices.clone_from(&sheet.notices);
            let means =
                |field| move |name: &String| meaning(name, &self.options.attributes) == Ok(Meaning::Field(field));
            let attributes =
                sheet.header().iter().filter(|n| meaning(n, &self.options.attributes) == Ok(Meaning::Attribute));
            for name in attributes {
                if let Some(known) = related(name).filter(|known| !sheet.header().iter().any(means(known))) {
                    notices.push(format!(
                        "column `{name}` is kept as an attribute; the column with a meaning is `{known}`"
                    ));
                }
            }
        }
        Ok(notices)
    }

    /// The sheet, with a header whose columns are all understood.
    fn checked_sheet(&self) -> Result<Sheet, ProducerError> {
        let sheet = Sheet::of(&self.file)?;
        let mut fields = Vec::new();
        for name in sheet.header().iter().filter(|name| !name.is_empty()) {
            let meaning = meaning(name, &self.options.attributes).map_err(|e| self.wrong(e))?;
            if meaning != Meaning::Attribute && fields.contains(&meaning) {
                return Err(self.wrong(format!("the header has column `{name}` twice, in two spellings")));
            }
            fields.push(meaning);
        }
        if sheet.header().is_empty() {
            return Err(self.wrong("it is empty: a manifest begins with a header that has the column `key`"));
        }
        if !fields.contains(&Meaning::Field(KNOWN[0])) {
            let has = sheet.header().join(", ");
            let like =
                ["file", "filename", "path", "objectkey", "recording", "recordingfile", "url", "录音文件", "文件名"];
            let like = sheet.header().iter().find(|name| like.contains(&letters(name).as_str()));
            let advice = like.map(|name| format!(". Is `{name}` the key? Name it `key`")).unwrap_or_default();
            return Err(self.wrong(format!("the header has no column `key`; it has: {has}{advice}")));
        }
        Ok(sheet)
    }

    fn read_sheet(&self, take: &mut impl FnMut(Line) -> bool) -> Result<(), ProducerError> {
        let mut sheet = self.checked_sheet()?;
        while let Some(Row { line, fields }) = sheet.next()? {
            let read = fields.map_err(|what| BadLine { line, what });
            if !take(read.and_then(|fields| entry(line, fields, &self.options)).into()) {
                break;
            }
        }
        Ok(())
    }

    fn read_json_lines(&self, take: &mut impl FnMut(Line) -> bool) -> Result<(), ProducerError> {
        let mut lines = self.file.lines()?;
        while let Some(line) = lines.next().map_err(|e| self.wrong(e))? {
            if line.text.trim().is_empty() && !line.cut {
                continue;
            }
            let number = line.number;
            let read = object(&mut lines, &line).map_err(|e| self.wrong(e))?;
            if !take(read.and_then(|fields| entry(number, fields, &self.options)).into()) {
                break;
            }
        }
        Ok(())
    }

    fn read_json_array(&self, take: &mut impl FnMut(Line) -> bool) -> Result<(), ProducerError> {
        let size = std::fs::metadata(&self.file.path).map_err(|e| self.wrong(e))?.len();
        if size > MAX_ARRAY {
            return Err(
                self.wrong(format!("an array of {size} bytes is too large: write one object per line (jq -c '.[]')"))
            );
        }
        let (mut lines, mut text, mut numbers) = (self.file.lines()?, String::new(), Vec::new());
        while let Some(line) = lines.next().map_err(|e| self.wrong(e))? {
            if line.cut {
                return Err(self.wrong(format!(
                    "line {} has more than {MAX_LINE} bytes: write one object per line (jq -c '.[]')",
                    line.number
                )));
            }
            numbers.push(text.len());
            text.push_str(&line.text);
            text.push('\n');
        }
        let items: Vec<&RawValue> =
            serde_json::from_str(&text).map_err(|e| self.wrong(format!("no JSON array of objects: {e}")))?;
        for item in items {
            let at = item.get().as_ptr().addr() - text.as_ptr().addr();
            let line = numbers.partition_point(|begin| *begin <= at) as u64;
            let read = fields(item.get()).map_err(|what| BadLine { line, what });
            if !take(read.and_then(|fields| entry(line, fields, &self.options)).into()) {
                break;
            }
        }
        Ok(())
    }
}

/// An object that begins on this line, and may go on over others.
fn object<R: Read>(lines: &mut TextLines<R>, first: &TextLine) -> std::io::Result<Result<Fields, BadLine>> {
    let bad = |what: String| BadLine { line: first.number, what };
    if first.cut {
        return Ok(Err(bad(format!("the line has more than {MAX_LINE} bytes"))));
    }
    let (mut text, mut more) = (first.text.clone(), VecDeque::new());
    loop {
        let what = match fields(&text) {
            Ok(fields) => return Ok(Ok(fields)),
            Err(what) => what,
        };
        let open = serde_json::from_str::<Value>(&text).is_err_and(|e| e.is_eof()) && text.len() < MAX_LINE;
        let next = if open { lines.next()? } else { None };
        match next {
            // The next object begins: this one was cut off.
            Some(line) if line.text.starts_with('{') => {
                more.push_back(line);
                lines.put_back(more.into_iter());
                return Ok(Err(bad(what)));
            }
            Some(line) => {
                text.push('\n');
                text.push_str(&line.text);
                more.push_back(line);
            }
            None => {
                lines.put_back(more.into_iter());
                return Ok(Err(bad(what)));
            }
        }
    }
}

/// The entry of one JSON object by itself, which is about the recording `key`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn entry_of_json(bytes: &[u8], key: &str, options: &ManifestOptions) -> Result<Entry, String> {
    let encoding = match options.encoding {
        Some(encoding) => encoding,
        None => encoding_of(bytes)?,
    };
    let (text, ..) = encoding.decode(bytes);
    let mut fields = fields(text.trim())?;
    let is_key = |name: &str| meaning(name, &options.attributes) == Ok(Meaning::Field(KNOWN[0]));
    // A key is not needed here, but one that names another recording means that the file belongs to that one.
    let about =
        |value: &str| key == value || key.ends_with(&format!("/{value}")) || value.ends_with(&format!("/{key}"));
    if let Some((_, other)) = fields.iter().find(|(name, value)| is_key(name) && !about(value.trim())) {
        return Err(format!("it is about another recording: `{other}`"));
    }
    fields.retain(|(name, _)| !is_key(name));
    fields.push((KNOWN[0].to_owned(), key.to_owned()));
    entry(1, fields, options).map_err(|bad| bad.what)
}

fn fields(text: &str) -> Result<Fields, String> {
    if text.contains('\u{fffd}') {
        return Err("it has bytes that are not text in the file's encoding; --encoding names another".into());
    }
    let object: JsonObject = serde_json::from_str(text).map_err(|e| format!("not a JSON object: {e}"))?;
    flat(object)
}

/// An object's fields as text; those of a nested `attributes` object are added to them.
fn flat(object: JsonObject) -> Result<Fields, String> {
    let mut fields = Fields::new();
    for (name, value) in object.0 {
        let value = value.get();
        match value.as_bytes().first() {
            Some(b'{') if name == "attributes" => {
                let inner = serde_json::from_str(value).map_err(|e| format!("`attributes`: {e}"))?;
                fields.extend(flat(inner)?);
            }
            Some(b'{' | b'[') => return Err(format!("`{name}` must be a string, a number or a boolean")),
            Some(b'n') => {}
            Some(b'"') => fields.push((name, serde_json::from_str(value).map_err(|e| e.to_string())?)),
            // A number keeps its digits as they are written: an id such as 1700000000.10 is none, only looks like it.
            _ => fields.push((name, value.to_owned())),
        }
    }
    Ok(fields)
}

/// The members of an object in their order, those that come twice as well.
struct JsonObject<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(JsonObject)
    }
}
