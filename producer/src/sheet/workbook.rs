//! The first sheet of a workbook: XLSX, XLSM, XLSB, XLS or ODS. It is in memory as a whole.

use calamine::{Data, DataType, Reader, SheetVisible, open_workbook_auto_from_rs};
use std::io::Cursor;
use std::path::Path;

/// Largest workbook that is opened, bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Rows of text with their numbers in the sheet.
pub(super) struct Workbook {
    /// What the user should know.
    pub(super) notice: Option<String>,
    /// In order; dates as `2026-11-22 14:05:00`.
    pub(super) rows: std::vec::IntoIter<(u64, Vec<String>)>,
}

/// Whether a file with this beginning is a workbook: a ZIP archive, or Microsoft's compound file.
pub(super) fn is_workbook(beginning: &[u8]) -> bool {
    beginning.starts_with(b"PK\x03\x04") || beginning.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
}

impl Workbook {
    /// # Errors
    /// As text: unreadable, protected by a password, or without a sheet that has anything.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
        if size > MAX_BYTES {
            return Err(format!("the workbook has {size} bytes, more than {MAX_BYTES}: save it as CSV UTF-8"));
        }
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let mut book = open_workbook_auto_from_rs(Cursor::new(bytes))
            .map_err(|_| "the workbook can't be read (is it protected by a password?): save it as CSV UTF-8")?;
        let visible = book.sheets_metadata().iter().filter(|sheet| sheet.visible == SheetVisible::Visible);
        let names: Vec<String> = visible.map(|sheet| sheet.name.clone()).collect();
        let mut full = Vec::new();
        for name in names {
            let range = book.worksheet_range(&name).map_err(|e| format!("sheet `{name}`: {e}"))?;
            if !range.is_empty() {
                full.push((name, range));
            }
        }
        let others = full.len().saturating_sub(1);
        let (name, range) = full.into_iter().next().ok_or("the workbook has no sheet with anything in it")?;
        let top = u64::from(range.start().unwrap_or_default().0);
        let rows: Vec<_> =
            range.rows().enumerate().map(|(i, row)| (top + i as u64 + 1, row.iter().map(text).collect())).collect();
        let notice = (others > 0).then(|| format!("read sheet `{name}`, the first; {others} more are not read"));
        Ok(Self { notice, rows: rows.into_iter() })
    }
}

/// A cell as a person would type it: numbers without a needless `.0`.
fn text(cell: &Data) -> String {
    match cell {
        Data::DateTime(time) if time.is_datetime() => match cell.as_datetime() {
            Some(time) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
            None => time.as_f64().to_string(),
        },
        // An error is Excel's own word, such as #N/A: no value.
        Data::Empty | Data::Error(_) => String::new(),
        other => other.to_string(),
    }
}
