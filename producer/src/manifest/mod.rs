//! A manifest: a table of recordings and call data, CSV or JSON lines. Read line by line, twice:
//! first to find every wrong line, then to enqueue.

mod columns;
mod lines;

use domain::{CallData, ChannelLayout};
use std::path::Path;
use tokio::sync::mpsc;

use crate::error::ProducerError;

/// Lines read ahead.
const AHEAD: usize = 1000;
/// Wrong lines that are reported in full.
const REPORTED: usize = 50;

/// One recording of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Line in the file, from 1.
    pub line: u64,
    /// Key, relative to the source.
    pub key: String,
    /// Call data.
    pub call: CallData,
    /// Roles, where the line names any.
    pub channels: Option<ChannelLayout>,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A recording.
    Entry(Entry),
    /// Something else.
    Bad(BadLine),
}

/// A line that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Line in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// The result of checking a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines that are valid.
    pub good: u64,
    /// Lines that are wrong.
    pub bad: u64,
    /// The first of those, as `FILE:LINE: what`.
    pub reported: Vec<String>,
}

/// Reads the whole manifest and checks each line.
///
/// # Errors
/// [`ProducerError::Input`] when the file can't be read, or its header is wrong.
pub async fn check(path: &Path) -> Result<Findings, ProducerError> {
    let mut findings = Findings::default();
    let mut entries = entries(path);
    while let Some(line) = entries.recv().await {
        match line? {
            Line::Entry(_) => findings.good += 1,
            Line::Bad(BadLine { line, what }) => {
                findings.bad += 1;
                if findings.reported.len() < REPORTED {
                    findings.reported.push(format!("{}:{line}: {what}", path.display()));
                }
            }
        }
    }
    Ok(findings)
}

/// The lines in order. An error of the file itself is the last item.
pub fn entries(path: &Path) -> mpsc::Receiver<Result<Line, ProducerError>> {
    let (send, receive) = mpsc::channel(AHEAD);
    let path = path.to_owned();
    // Reading files blocks. A dropped receiver ends it.
    tokio::task::spawn_blocking(move || {
        let outcome = lines::read(&path, |line| send.blocking_send(Ok(line)).is_ok());
        if let Err(error) = outcome {
            let _ = send.blocking_send(Err(error));
        }
    });
    receive
}
