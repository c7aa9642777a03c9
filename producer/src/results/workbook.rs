//! Results as a workbook of Excel: true numbers and dates, and texts that are never formulas.

use adapters::postgres::ResultRow;
use chrono::{DateTime, Utc};
use domain::Emotion;
use domain::visible::visible;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};

use crate::error::ProducerError;

const HEADER: [&str; 16] = [
    "job_id",
    "bucket",
    "key",
    "call_id",
    "called_at (UTC)",
    "status",
    "emotion",
    "confidence",
    "duration_s",
    "failure_code",
    "failure",
    "warnings",
    "finished_at (UTC)",
    "repeat",
    "repeat_failure_code",
    "repeat_failure",
];
/// Rows of a sheet, by Excel's own limit, the header included.
const MOST_ROWS: u32 = 1_048_576;

/// A workbook of one sheet, filled row by row. Rows are on disk until it is complete.
pub(super) struct ResultsWorkbook {
    workbook: Workbook,
    date: Format,
    /// Number of the next row.
    row: u32,
}

impl ResultsWorkbook {
    /// Begins one, with its header.
    ///
    /// # Errors
    /// When the temporary folder can't be written.
    pub(super) fn begin() -> Result<Self, ProducerError> {
        let mut workbook = Workbook::new();
        let bold = Format::new().set_bold();
        let sheet = workbook.add_worksheet_with_constant_memory();
        sheet.set_name("results").map_err(failed)?.set_freeze_panes(1, 0).map_err(failed)?;
        for (column, title) in (0..).zip(HEADER) {
            sheet.set_column_width(column, 20).map_err(failed)?;
            sheet.write_string_with_format(0, column, title, &bold).map_err(failed)?;
        }
        Ok(Self { workbook, date: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"), row: 1 })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// When the sheet is full, or the temporary folder can't be written.
    pub(super) fn push(&mut self, row: &ResultRow) -> Result<(), ProducerError> {
        if self.row == MOST_ROWS {
            return Err(ProducerError::input("a sheet holds at most 1,048,575 results: use --limit, or --format csv"));
        }
        let Self { workbook, date, row: number } = self;
        let sheet = workbook.worksheet_from_index(0).map_err(failed)?;
        write(sheet, *number, row, date).map_err(failed)?;
        self.row += 1;
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// When the temporary folder can't be read.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, ProducerError> {
        self.workbook.save_to_buffer().map_err(failed)
    }
}

fn write(sheet: &mut Worksheet, number: u32, row: &ResultRow, date: &Format) -> Result<(), XlsxError> {
    let (failure, repeat_failure) = (row.failure.as_ref(), row.repeat_failure.as_ref());
    let texts = [
        (0, Some(row.job_id.to_string())),
        (1, Some(row.bucket.clone())),
        (2, Some(row.key.clone())),
        (3, row.call_id.clone()),
        (5, Some(row.status.label().to_owned())),
        (6, row.emotion.map(Emotion::label).map(str::to_owned)),
        (9, failure.map(|failure| failure.code.code().to_owned())),
        (10, failure.map(|failure| failure.message.clone())),
        (11, (!row.warnings.is_empty()).then(|| row.warnings.join(" "))),
        (13, row.repeat.map(|state| state.label().to_owned())),
        (14, repeat_failure.map(|failure| failure.code.code().to_owned())),
        (15, repeat_failure.map(|failure| failure.message.clone())),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            // A string cell is no formula, whatever it begins with.
            sheet.write_string(number, column, visible(&text))?;
        }
    }
    for (column, value) in [(7, row.confidence.map(f64::from)), (8, row.duration_s)] {
        if let Some(value) = value {
            sheet.write_number(number, column, value)?;
        }
    }
    for (column, time) in [(4, Some(row.called_at)), (12, row.finished_at)] {
        if let Some(serial) = time.and_then(serial) {
            sheet.write_number_with_format(number, column, serial, date)?;
        }
    }
    Ok(())
}

/// Excel's number of a moment: days since 30 December 1899. `None` before 1900, which it can't show.
fn serial(time: DateTime<Utc>) -> Option<f64> {
    const DAYS_TO_UNIX: f64 = 25_569.0;
    let days = time.timestamp_millis() as f64 / 86_400_000.0 + DAYS_TO_UNIX;
    (days >= 61.0).then_some(days)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` passes it")]
fn failed(error: XlsxError) -> ProducerError {
    ProducerError::input(format!("the workbook can't be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapters::postgres::Status;
    use calamine::{Data, Reader, Xlsx};
    use domain::{Failure, FailureCode, JobId};

    #[test]
    fn a_workbook_has_numbers_dates_and_no_formulas() {
        let time: DateTime<Utc> = "2026-11-22T14:05:00Z".parse().expect("RFC 3339");
        let row = ResultRow {
            job_id: JobId(uuid::Uuid::nil()),
            bucket: "b".into(),
            key: "=HYPERLINK(\"x\")\u{202e}\u{1b}.wav".into(),
            call_id: Some("007".into()),
            called_at: time,
            finished_at: None,
            status: Status::Done,
            failure: None,
            repeat: None,
            repeat_failure: Some(Failure::new(FailureCode::ObjectNotFound, "gone")),
            emotion: Some(Emotion::Angry),
            confidence: Some(0.5),
            warnings: Vec::new(),
            duration_s: Some(65.25),
            channels: Vec::new(),
        };
        let mut workbook = ResultsWorkbook::begin().expect("begun");
        workbook.push(&row).expect("written");
        let bytes = workbook.finish().expect("complete");
        let mut read: Xlsx<_> = calamine::open_workbook_from_rs(std::io::Cursor::new(bytes)).expect("a workbook");
        let sheet = read.worksheet_range("results").expect("the sheet");
        let cell = |column: u32| sheet.get_value((1, column)).cloned().unwrap_or_default();
        assert_eq!(cell(2), Data::String("=HYPERLINK(\"x\")\\u{202e}␛.wav".into()));
        assert_eq!(cell(3), Data::String("007".into()), "leading zeros are kept");
        assert!(
            matches!(cell(4), Data::DateTime(when) if when.as_datetime() == Some(time.naive_utc())),
            "{:?}",
            cell(4)
        );
        assert_eq!((cell(14), cell(15)), (Data::String("object.not_found".into()), Data::String("gone".into())));
        assert_eq!((cell(7), cell(8)), (Data::Float(0.5), Data::Float(65.25)));
        assert!(read.worksheet_formula("results").expect("the sheet").is_empty());
    }
}
