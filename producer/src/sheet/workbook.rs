//! The first sheet of a workbook: XLSX, XLSM, XLSB, XLS or ODS. It is in memory as a whole.

use calamine::{Data, DataType, Dimensions, Range, Reader, SheetVisible, Sheets, open_workbook_auto_from_rs};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use super::date_formats;
use super::records::Record;

/// Largest workbook that is opened, bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Whole numbers up to here have all their digits.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Rows of text with their numbers in the sheet.
pub(super) struct Workbook {
    /// What the user should know.
    pub(super) notice: Option<String>,
    /// In order; dates as `2026-11-22 14:05:00`.
    pub(super) rows: std::vec::IntoIter<Record>,
}

/// Whether a file with this beginning is a workbook: a ZIP archive, or Microsoft's compound file.
pub(super) fn is_workbook(beginning: &[u8]) -> bool {
    beginning.starts_with(b"PK\x03\x04") || beginning.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
}

impl Workbook {
    /// # Errors
    /// As text: unreadable, protected by a password, or without a sheet that has anything.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|e| e.to_string())?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("the workbook has more than {MAX_BYTES} bytes: save it as CSV UTF-8"));
        }
        let bytes = date_formats::with_known_ids(bytes);
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
        let formulas = book.worksheet_formula(&name).unwrap_or_default();
        let merges = match &mut book {
            Sheets::Xlsx(book) => book.merge_cells_by_sheet_name(&name).ok(),
            Sheets::Xls(book) => book.merge_cells_by_sheet_name(&name).ok(),
            _ => None,
        };
        let range = spread(range, &merges.unwrap_or_default());
        let left = range.start().unwrap_or_default().1;
        let rows: Vec<Record> = (top..)
            .zip(range.rows())
            .map(|(row, cells)| {
                let formula = |column: u32| {
                    let row = u32::try_from(row).ok()?;
                    formulas.get_value((row, column)).filter(|formula| !formula.is_empty())
                };
                let cells = (left..).zip(cells).map(|(column, cell)| text(cell, column, formula(column))).collect();
                (row + 1, cells)
            })
            .collect();
        let notice = (others > 0).then(|| format!("read sheet `{name}`, the first; {others} more are not read"));
        Ok(Self { notice, rows: rows.into_iter() })
    }
}

/// Gives the value of merged cells to each of their rows: a spreadsheet has it in the first one alone.
fn spread(mut range: Range<Data>, merges: &[Dimensions]) -> Range<Data> {
    let Some(last) = range.end() else { return range };
    for merge in merges {
        let (row, column) = merge.start;
        let Some(value) = range.get_value((row, column)).filter(|value| **value != Data::Empty).cloned() else {
            continue;
        };
        for below in row + 1..=merge.end.0.min(last.0) {
            range.set_value((below, column), value.clone());
        }
    }
    range
}

/// A cell as a person would type it: numbers without a needless `.0`.
///
/// # Errors
/// It has a formula without a value, or a number whose digits are lost.
fn text(cell: &Data, column: u32, formula: Option<&String>) -> Result<String, String> {
    match cell {
        Data::DateTime(time) if time.is_datetime() => Ok(match cell.as_datetime() {
            Some(time) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
            None => time.as_f64().to_string(),
        }),
        Data::Empty if formula.is_some() => Err(format!(
            "column {} has a formula without a value: open the workbook in a spreadsheet program and save it once",
            column + 1
        )),
        Data::Float(number) if number.abs() > EXACT => Err(format!(
            "column {} has the number {number}, of which a spreadsheet keeps only 15 digits: format the column as text",
            column + 1
        )),
        // An error is Excel's own word, such as #N/A: no value.
        Data::Empty | Data::Error(_) => Ok(String::new()),
        other => Ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
        use std::io::Write;
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).expect("begun");
            archive.write_all(content.as_bytes()).expect("written");
        }
        archive.finish().expect("whole").into_inner()
    }

    /// The rows of a workbook whose sheet has this content and whose second cell format has this number.
    fn rows(format: u16, sheet: &str) -> Vec<Record> {
        const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
        const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        let workbook = format!(
            r#"<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>"#
        );
        let relations = format!(
            r#"<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>"#
        );
        let root = format!(
            r#"<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
        );
        let styles = format!(
            r#"<styleSheet xmlns="{MAIN}"><cellStyleXfs count="1"><xf numFmtId="0"/></cellStyleXfs><cellXfs count="2"><xf numFmtId="0"/><xf applyNumberFormat="1" numFmtId="{format}"/></cellXfs></styleSheet>"#
        );
        let sheet = format!(r#"<worksheet xmlns="{MAIN}">{sheet}</worksheet>"#);
        let types = format!(
            r#"<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>"#
        );
        let bytes = zipped(&[
            ("[Content_Types].xml", &types),
            ("_rels/.rels", &root),
            ("xl/workbook.xml", &workbook),
            ("xl/_rels/workbook.xml.rels", &relations),
            ("xl/styles.xml", &styles),
            ("xl/worksheets/sheet1.xml", &sheet),
        ]);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.xlsx");
        std::fs::write(&path, bytes).expect("written");
        Workbook::open(&path).expect("a workbook").rows.collect()
    }

    #[test]
    fn the_built_in_date_formats_of_east_asia_are_dates() {
        let sheet = r#"<sheetData><row r="1"><c r="A1" s="1"><v>45983.586805555555</v></c><c r="B1"><v>7</v></c></row></sheetData>"#;
        for format in (27..=31).chain([22, 36, 50, 54, 57, 58]) {
            let found = rows(format, sheet);
            let cells = found[0].1.as_ref().expect("values");
            assert_eq!(cells[..], ["2025-11-22 14:05:00".to_owned(), "7".to_owned()], "{format}");
        }
        assert_eq!(rows(2, sheet)[0].1.as_ref().expect("values")[0], "45983.586805555555");
    }

    #[test]
    fn a_formula_without_a_value_and_a_number_without_its_digits_cost_their_line() {
        let found = rows(
            0,
            r#"<sheetData><row r="1"><c r="A1"><f>B1&amp;".wav"</f></c><c r="B1"><v>7</v></c></row>
            <row r="2"><c r="A2"><f>B2+1</f><v>8</v></c><c r="B2"><v>7</v></c></row>
            <row r="3"><c r="A3"><v>12345678901234567890</v></c><c r="B3"><v>7</v></c></row></sheetData>"#,
        );
        assert!(found[0].1.as_ref().expect_err("no value").contains("save it once"), "{found:?}");
        assert_eq!(found[1].1.as_ref().map(|cells| cells[0].as_str()), Ok("8"));
        assert!(found[2].1.as_ref().expect_err("rounded").contains("15 digits"), "{found:?}");
    }

    #[test]
    fn the_value_of_merged_cells_holds_for_all_their_rows() {
        let text = |at: &str, text: &str| format!(r#"<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>"#);
        let sheet = format!(
            r#"<sheetData><row r="1">{}{}</row><row r="2">{}</row><row r="3">{}</row></sheetData><mergeCells count="1"><mergeCell ref="B1:B2"/></mergeCells>"#,
            text("A1", "a.wav"),
            text("B1", "blue"),
            text("A2", "b.wav"),
            text("A3", "c.wav"),
        );
        let found: Vec<Vec<String>> = rows(0, &sheet).into_iter().map(|(_, cells)| cells.expect("values")).collect();
        assert_eq!(found, [["a.wav", "blue"], ["b.wav", "blue"], ["c.wav", ""]]);
    }
}
