//! `producer results`: the results of a batch, one row per job.

mod workbook;

use adapters::postgres::{ChannelSummary, Database, ResultRow, Status};
use domain::spreadsheet::{BYTE_ORDER_MARK, cell};
use domain::{BatchId, Emotion, Failure};
use std::io::{IsTerminal, Write};

use crate::cli::{Format, ResultsArgs};
use crate::error::ProducerError;
use crate::meter::clock;
use crate::table::{Side, bar, head, lines, tail};
use domain::visible::visible;
use workbook::ResultsWorkbook;

/// Rows asked for at once.
const PAGE: u32 = 500;
/// Rows of a table, unless asked otherwise.
const TABLE_ROWS: u64 = 100;
const KEY_CELLS: usize = 44;
const REASON_CELLS: usize = 70;

/// Writes a batch's results.
///
/// # Errors
/// [`ProducerError::Service`]; [`ProducerError::Input`] for a workbook on a terminal, or an output that can't be written. One that is
/// closed early, as by `head`, is none.
pub async fn write(
    database: &Database,
    batch: BatchId,
    args: &ResultsArgs,
    out: &mut impl Write,
) -> Result<(), ProducerError> {
    match write_all(database, batch, args, out).await {
        Ok(()) => written(out.flush()),
        Err(Ended::Unwritten(error)) => written(Err(error)),
        Err(Ended::Early(error)) => Err(error),
    }
}

/// Why the results are not complete.
enum Ended {
    Unwritten(std::io::Error),
    Early(ProducerError),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Unwritten(error)
    }
}

impl From<ProducerError> for Ended {
    fn from(error: ProducerError) -> Self {
        Self::Early(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Early(failure.into())
    }
}

/// A reader that has enough closes the output: no failure.
fn written(outcome: std::io::Result<()>) -> Result<(), ProducerError> {
    match outcome {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(ProducerError::input(format!("the results can't be written, and are not complete: {error}")))
        }
        _ => Ok(()),
    }
}

async fn write_all(database: &Database, batch: BatchId, args: &ResultsArgs, out: &mut impl Write) -> Result<(), Ended> {
    let limit = match args.limit {
        Some(0) => u64::MAX,
        Some(limit) => limit,
        None if args.format == Format::Table => TABLE_ROWS,
        None => u64::MAX,
    };
    let mut table = Vec::new();
    let mut workbook = match args.format {
        Format::Xlsx if std::io::stdout().is_terminal() => {
            return Err(Ended::Early(ProducerError::input(
                "a workbook can't be shown on a terminal: add > results.xlsx",
            )));
        }
        Format::Xlsx => Some(ResultsWorkbook::begin()?),
        _ => None,
    };
    if args.format == Format::Csv {
        out.write_all(BYTE_ORDER_MARK.as_bytes())?;
        csv_line(CSV_HEADER, out)?;
    }
    let (mut written, mut more, mut after) = (0_u64, false, None);
    'pages: loop {
        let rows = database.results(&batch, after.as_ref(), PAGE).await?;
        let last = rows.len() < PAGE as usize;
        after = rows.last().cloned();
        for row in rows.into_iter().filter(|r| !args.failed || failed(r)) {
            if written == limit {
                more = true;
                break 'pages;
            }
            written += 1;
            match args.format {
                Format::Table => table.push(cells(&row)),
                Format::Jsonl => writeln!(out, "{}", json(&row))?,
                Format::Xlsx => {
                    if let Some(workbook) = &mut workbook {
                        workbook.push(&row)?;
                    }
                }
                Format::Csv => csv_line(csv_fields(&row), out)?,
            }
        }
        if last {
            break;
        }
    }
    if let Some(workbook) = workbook {
        out.write_all(&workbook.finish()?)?;
    }
    if args.format == Format::Table {
        print_table(&table, args.failed, out)?;
        if more {
            writeln!(out, "... and more: --limit 0 shows all")?;
        }
    }
    Ok(())
}

/// Failed, or done with a repetition that failed since.
fn failed(row: &ResultRow) -> bool {
    row.status == Status::Failed || (row.repeat.is_none() && row.repeat_failure.is_some())
}

fn print_table(rows: &[[String; 6]], failed: bool, out: &mut impl Write) -> std::io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "{}", if failed { "nothing failed" } else { "no recordings" });
    }
    let header = [
        ("recording", Side::Left),
        ("length", Side::Right),
        ("emotion", Side::Left),
        ("confidence", Side::Right),
        ("", Side::Left),
        ("speakers", Side::Left),
    ];
    lines(header, rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn cells(row: &ResultRow) -> [String; 6] {
    let file = tail(&visible(&row.key), KEY_CELLS);
    let length = row.duration_s.map(clock).unwrap_or_default();
    match (row.status, row.emotion) {
        (Status::Done, Some(emotion)) => {
            let confidence = row.confidence.unwrap_or_default();
            let repeat = repetition(row).map(|text| head(&visible(&text), REASON_CELLS));
            let speakers = row.channels.iter().map(speaker).chain(repeat).collect::<Vec<_>>().join(" · ");
            [file, length, named(emotion), percent(confidence), bar(confidence, 10), warned(speakers, row)]
        }
        (Status::Done, None) => {
            let repeat = repetition(row).map(|text| head(&visible(&text), REASON_CELLS));
            let speakers = row.channels.iter().map(speaker).chain(repeat).collect::<Vec<_>>().join(" · ");
            [file, length, "– no speech".into(), String::new(), String::new(), warned(speakers, row)]
        }
        (status, _) => {
            let what =
                if status == Status::Failed { "✗ failed".to_owned() } else { format!("… {}", status.label()) };
            let why = row.failure.as_ref().map_or_else(String::new, |f| head(&visible(&f.to_string()), REASON_CELLS));
            [file, length, what, String::new(), String::new(), why]
        }
    }
}

/// The text, with the codes of the row's warnings behind it.
fn warned(text: String, row: &ResultRow) -> String {
    if row.warnings.is_empty() { text } else { format!("{text} · ⚠ {}", row.warnings.join(", ")) }
}

/// What became of a repetition of a job that is done.
fn repetition(row: &ResultRow) -> Option<String> {
    match (row.repeat, &row.repeat_failure) {
        (Some(state), _) => Some(format!("again: {state}")),
        (None, Some(failure)) => Some(format!("repetition failed: {failure}")),
        (None, None) => None,
    }
}

fn speaker(channel: &ChannelSummary) -> String {
    match (channel.scored, channel.emotion) {
        (false, _) => format!("{} not scored", channel.role),
        (true, None) => format!("{} no speech", channel.role),
        (true, Some(emotion)) => {
            format!("{} {} {}", channel.role, emotion.emoji(), percent(channel.confidence.unwrap_or_default()))
        }
    }
}

/// `😠 生气 angry`.
fn named(emotion: Emotion) -> String {
    format!("{} {} {}", emotion.emoji(), emotion.chinese(), emotion.label())
}

fn percent(share: f32) -> String {
    format!("{:.0}%", share * 100.0)
}

fn json(row: &ResultRow) -> serde_json::Value {
    let channel = |c: &ChannelSummary| {
        serde_json::json!({
            "channel": c.channel, "role": c.role, "scored": c.scored, "emotion": c.emotion,
            "confidence": c.confidence, "speech_s": c.speech_s, "segments": c.segments,
        })
    };
    serde_json::json!({
        "job_id": row.job_id, "bucket": row.bucket, "key": row.key, "call_id": row.call_id,
        "status": row.status.label(), "emotion": row.emotion, "confidence": row.confidence,
        "duration_s": row.duration_s, "warnings": row.warnings, "failure": row.failure,
        "repeat": row.repeat.map(Status::label), "repeat_failure": row.repeat_failure,
        "channels": row.channels.iter().map(channel).collect::<Vec<_>>(),
    })
}

const CSV_HEADER: [&str; 14] = [
    "job_id",
    "bucket",
    "key",
    "call_id",
    "status",
    "emotion",
    "confidence",
    "duration_s",
    "failure_code",
    "failure",
    "warnings",
    "repeat",
    "repeat_failure_code",
    "repeat_failure",
];

fn csv_fields(row: &ResultRow) -> [String; 14] {
    let text = |value: Option<String>| value.unwrap_or_default();
    [
        row.job_id.to_string(),
        row.bucket.clone(),
        cell(&row.key),
        cell(&text(row.call_id.clone())),
        row.status.label().to_owned(),
        text(row.emotion.map(|e| e.label().to_owned())),
        text(row.confidence.map(|c| c.to_string())),
        text(row.duration_s.map(|d| d.to_string())),
        text(row.failure.as_ref().map(|f| f.code.code().to_owned())),
        cell(&text(row.failure.as_ref().map(|f| f.message.clone()))),
        row.warnings.join(" "),
        text(row.repeat.map(|state| state.label().to_owned())),
        text(row.repeat_failure.as_ref().map(|f| f.code.code().to_owned())),
        cell(&text(row.repeat_failure.as_ref().map(|f| f.message.clone()))),
    ]
}

fn csv_line(fields: [impl AsRef<[u8]>; 14], out: &mut impl Write) -> std::io::Result<()> {
    let mut line = csv::Writer::from_writer(Vec::new());
    line.write_record(fields)?;
    out.write_all(&line.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{FailureCode, JobId, Role};

    fn row(status: Status) -> ResultRow {
        let channel = |role, scored, emotion| ChannelSummary {
            channel: Some(0),
            role,
            scored,
            emotion,
            confidence: emotion.map(|_| 0.83),
            speech_s: 3.0,
            segments: 1,
        };
        ResultRow {
            job_id: JobId(uuid::Uuid::nil()),
            bucket: "b".into(),
            key: "通话/1.wav".into(),
            call_id: None,
            called_at: chrono::DateTime::UNIX_EPOCH,
            finished_at: None,
            status,
            failure: None,
            repeat: None,
            repeat_failure: None,
            emotion: Some(Emotion::Angry),
            confidence: Some(0.83),
            warnings: Vec::new(),
            duration_s: Some(65.0),
            channels: vec![channel(Role::Agent, false, None), channel(Role::Customer, true, Some(Emotion::Angry))],
        }
    }

    #[test]
    fn a_row_shows_the_emotion_and_each_channel() {
        let cells = cells(&row(Status::Done));
        assert_eq!(cells[..4], ["通话/1.wav", "1:05", "😠 生气 angry", "83%"]);
        assert_eq!(cells[5], "agent not scored · customer 😠 83%");
    }

    #[test]
    fn a_repetition_that_failed_is_shown_beside_the_result() {
        let mut repeated = row(Status::Done);
        repeated.repeat_failure = Some(Failure::new(FailureCode::ObjectNotFound, "gone"));
        assert!(failed(&repeated));
        assert!(
            cells(&repeated)[5].ends_with(" · repetition failed: object.not_found: gone"),
            "{:?}",
            cells(&repeated)
        );
        repeated.repeat = Some(Status::Running);
        assert!(!failed(&repeated) && cells(&repeated)[5].ends_with(" · again: running"));
    }

    #[test]
    fn a_spreadsheet_gets_no_formula() {
        let mut named = row(Status::Done);
        named.key = "=1+2.wav".into();
        let mut out = Vec::new();
        csv_line(csv_fields(&named), &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.contains(",'=1+2.wav,"), "{text}");
    }

    #[test]
    fn a_reader_that_has_enough_is_no_failure_and_a_full_disk_is() {
        use std::io::{Error, ErrorKind};
        assert!(written(Err(Error::from(ErrorKind::BrokenPipe))).is_ok());
        assert!(written(Err(Error::from(ErrorKind::StorageFull))).is_err());
    }

    #[test]
    fn a_call_without_speech_is_no_failure() {
        let mut silent = row(Status::Done);
        (silent.emotion, silent.confidence) = (None, None);
        (silent.channels[1].emotion, silent.channels[1].confidence) = (None, None);
        silent.warnings = vec!["channels.not_separated".into()];
        let shown = cells(&silent);
        assert_eq!((shown[2].as_str(), shown[3].as_str()), ("– no speech", ""));
        assert_eq!(shown[5], "agent not scored · customer no speech · ⚠ channels.not_separated");
        let json = json(&silent);
        assert!(json["emotion"].is_null() && json["failure"].is_null() && json["status"] == "done", "{json}");
    }

    #[test]
    fn a_failed_row_shows_the_failure() {
        let mut failed = row(Status::Failed);
        failed.emotion = None;
        failed.failure = Some(Failure::new(FailureCode::AudioEmpty, "the file has no bytes"));
        assert_eq!(cells(&failed)[2], "✗ failed");
        assert_eq!(cells(&failed)[5], "audio.empty: the file has no bytes");
    }
}
