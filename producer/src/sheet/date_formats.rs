//! The built-in number formats of East Asia (ECMA-376, 18.8.30: 27 to 36 and 50 to 58) are dates in all its languages. The
//! reader of workbooks does not know them, so they are replaced by one that it knows.

use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// Where a workbook has its formats.
const STYLES: &str = "xl/styles.xml";
/// Most bytes of them.
const MAX_STYLES: u64 = 64 * 1024 * 1024;
/// The format `m/d/yy h:mm`.
const KNOWN: &str = "22";

/// The workbook, with formats that the reader knows; as it is, where there is nothing to replace.
pub(super) fn with_known_ids(bytes: Vec<u8>) -> Vec<u8> {
    replaced(&bytes).unwrap_or(bytes)
}

fn replaced(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut styles = String::new();
    archive.by_name(STYLES).ok()?.take(MAX_STYLES).read_to_string(&mut styles).ok()?;
    let changed = with_known_formats(&styles)?;
    let mut writer = ZipWriter::new(Cursor::new(Vec::with_capacity(bytes.len())));
    for number in 0..archive.len() {
        let file = archive.by_index_raw(number).ok()?;
        if file.name() != STYLES {
            writer.raw_copy_file(file).ok()?;
        }
    }
    writer.start_file(STYLES, SimpleFileOptions::default()).ok()?;
    writer.write_all(changed.as_bytes()).ok()?;
    Some(writer.finish().ok()?.into_inner())
}

/// Replaces the numbers of formats in the list of cell formats; `None` where none is to be replaced. A format that the
/// workbook defines itself is left.
fn with_known_formats(styles: &str) -> Option<String> {
    const ATTRIBUTE: &str = "numFmtId=\"";
    let begin = styles.find("<cellXfs").or_else(|| styles.find(":cellXfs"))?;
    // Behind the name of the opening tag, which may end like the closing one.
    let inside = begin + "<cellXfs".len();
    let end = styles[inside..].find("cellXfs>").map_or(styles.len(), |at| inside + at);
    let (front, mut rest) = (&styles[..begin], &styles[begin..end]);
    let (mut changed, mut any) = (front.to_owned(), false);
    while let Some(at) = rest.find(ATTRIBUTE) {
        let (before, value) = rest.split_at(at + ATTRIBUTE.len());
        changed.push_str(before);
        let length = value.find('"')?;
        let id = &value[..length];
        let is_date = matches!(id.parse::<u16>(), Ok(27..=36 | 50..=58));
        let is_own = front.split("<numFmt ").skip(1).any(|format| {
            format.split('>').next().is_some_and(|format| format.contains(&format!("{ATTRIBUTE}{id}\"")))
        });
        changed.push_str(if is_date && !is_own { KNOWN } else { id });
        any |= is_date && !is_own;
        rest = &value[length..];
    }
    changed.push_str(rest);
    changed.push_str(&styles[end..]);
    any.then_some(changed)
}
