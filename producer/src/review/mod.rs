//! `producer review import`: verdicts of people, from a table.

mod columns;

use adapters::postgres::{Import, Imported, Review};
use adapters::retry::{RetryPolicy, retry_while};
use clap::{Args, Subcommand};
use settings::Settings;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Outcome, ProducerError};
use crate::services::{self, POSTGRES};
use crate::sheet::{Row, Sheet};
use columns::Columns;

/// Most verdicts of one file: all of them are in memory at once.
const MOST: usize = 500_000;
/// Lines with errors that are shown.
const SHOWN: usize = 50;

/// What to do with verdicts.
#[derive(Debug, Clone, Subcommand)]
pub enum ReviewCommand {
    /// Import verdicts from a CSV file: the whole file, or nothing when a line is wrong. The same file again
    /// adds nothing; a newer verdict of the same person on the same speech replaces the older.
    #[command(after_help = COLUMNS)]
    Import(ImportArgs),
}

const COLUMNS: &str = "\
Columns, in any order, with a header; comma, semicolon or tab; an unknown one is an error:
  job_id       the call, by at least one of these three columns;
  call_id      call_id and key mean its latest analysis
  key
  emotion      the emotion by the reviewer: angry, disgusted, fearful, happy, neutral, other,
               sad, surprised, unknown (or 生气, 厌恶, ...)
  reviewer     name of the reviewer (or --reviewer for the whole file)
  segment      optional: the segment, by its number in the channel, from 0;
  at_s         or by a second within it (83.2 or 1:23); without both, the call as a whole
  channel      optional, from 0: needed with a segment if several channels were scored
  reviewed_at  optional: like 2026-11-22T14:05:00+08:00; UTC without a zone; default: now
  note         optional: a remark

Example:
  call_id,at_s,emotion,reviewer,reviewed_at,note
  c-17,1:23,neutral,rita,2026-11-22 14:05,she speaks loudly because the line is bad
  c-18,,angry,rita,2026-11-22 14:09,

Exit codes: 0 imported; 1 a service failed; 2 lines are wrong or name no analysed call.";

/// Which file, and how.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The CSV file.
    pub file: PathBuf,
    /// Name of the reviewer, for lines without one.
    #[arg(long, value_name = "NAME")]
    pub reviewer: Option<String>,
    /// Skip verdicts on calls that are not (or no longer) in the database, instead of refusing the file.
    #[arg(long)]
    pub skip_unplaced: bool,
    /// Skip lines that are wrong, instead of refusing the file; they are shown, and the exit code is 2.
    #[arg(long)]
    pub skip_wrong: bool,
    /// Only show what would be imported.
    #[arg(long)]
    pub dry_run: bool,
}

/// A verdict and its line in the file.
struct Line {
    number: u64,
    review: Review,
}

/// Runs the command.
///
/// # Errors
/// [`ProducerError::Input`] with each wrong line; services. Nothing is imported then.
pub async fn run(
    settings: &Settings,
    command: &ReviewCommand,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let ReviewCommand::Import(args) = command;
    let (file, reviewer) = (args.file.clone(), args.reviewer.clone());
    let skip_wrong = args.skip_wrong;
    let (lines, wrong) = tokio::task::spawn_blocking(move || read(&file, reviewer.as_deref(), skip_wrong))
        .await
        .unwrap_or_else(|e| Err(ProducerError::input(format!("reading ended: {e}"))))?;
    let (numbers, reviews): (Vec<u64>, Vec<Review>) = lines.into_iter().map(|l| (l.number, l.review)).unzip();

    let import = match args {
        ImportArgs { dry_run: true, .. } => Import::Nothing,
        ImportArgs { skip_unplaced: true, .. } => Import::Placed,
        _ => Import::Whole,
    };
    let database = services::database(settings, policy).await?;
    let imported = retry_while(policy, POSTGRES, || database.import_reviews(&reviews, import)).await?;
    let unplaced = unplaced(&args.file, &numbers, &imported);
    if import == Import::Whole && !unplaced.is_empty() {
        let count = imported.unplaced.len();
        return Err(ProducerError::input(format!(
            "{}\nthe call, channel or segment of {count} of {} verdicts was not found; nothing was imported. \
             Correct them, or skip them with --skip-unplaced",
            unplaced.join("\n"),
            numbers.len(),
        )));
    }
    let skipped = wrong.len();
    let mut text = first(wrong);
    text.extend(summary(&imported, &unplaced, args.dry_run));
    if skipped > 0 {
        text.push(format!("skipped   {skipped} lines that are wrong"));
    }
    let _ = text.iter().try_for_each(|line| writeln!(out, "{line}"));
    if skipped > 0 {
        return Ok(Outcome::Incomplete);
    }
    Ok(if unplaced.is_empty() || args.skip_unplaced { Outcome::Done } else { Outcome::Incomplete })
}

/// All verdicts of a file, and what is wrong with other lines: an error, unless these are to be skipped.
fn read(path: &Path, reviewer: Option<&str>, skip_wrong: bool) -> Result<(Vec<Line>, Vec<String>), ProducerError> {
    let mut sheet = Sheet::open(path)?;
    let columns = Columns::of(sheet.header(), reviewer)
        .map_err(|what| ProducerError::input(format!("{}:1: {what}", path.display())))?;
    let (mut lines, mut wrong, mut count) = (Vec::new(), Vec::new(), 0_usize);
    while let Some(Row { line, fields }) = sheet.next()? {
        count += 1;
        match fields.and_then(|fields| columns.review(&fields)) {
            Ok(review) => lines.push(Line { number: line, review }),
            Err(what) => wrong.push(format!("{}:{line}: {what}", path.display())),
        }
        if lines.len() > MOST {
            return Err(ProducerError::input(format!(
                "{}: more than {MOST} verdicts; import it in parts",
                path.display()
            )));
        }
    }
    if wrong.is_empty() || skip_wrong {
        return Ok((lines, wrong));
    }
    let bad = wrong.len();
    Err(ProducerError::input(format!(
        "{}\n{bad} of {count} lines are wrong; nothing was imported",
        first(wrong).join("\n")
    )))
}

fn unplaced(path: &Path, numbers: &[u64], imported: &Imported) -> Vec<String> {
    let lines = imported.unplaced.iter().map(|unplaced| {
        let line = numbers.get(unplaced.position).copied().unwrap_or_default();
        format!("{}:{line}: {}", path.display(), unplaced.problem)
    });
    first(lines.collect())
}

/// The first of many lines, and how many more there are.
fn first(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN);
    if more > 0 {
        lines.truncate(SHOWN);
        lines.push(format!("... and {more} more"));
    }
    lines
}

fn summary(imported: &Imported, unplaced: &[String], dry_run: bool) -> Vec<String> {
    let mut lines = unplaced.to_vec();
    lines.push(format!("new       {}", imported.new));
    lines.push(format!("known     {} stored already, or older than a stored verdict", imported.known));
    lines.push(format!("unplaced  {}", imported.unplaced.len()));
    if dry_run {
        lines.push("          nothing was imported (--dry-run)".into());
    }
    lines
}
