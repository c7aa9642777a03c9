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
/// Wrong lines told in full.
const TOLD: usize = 50;

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

/// A line that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Line in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// A manifest read through once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines that are right.
    pub good: u64,
    /// Lines that are wrong.
    pub bad: u64,
    /// The first of those, as `FILE:LINE: what`.
    pub told: Vec<String>,
}

/// Reads the whole manifest and checks each line.
///
/// # Errors
/// [`ProducerError::Input`] when the file can't be read, or its header is wrong.
pub async fn check(path: &Path) -> Result<Findings, ProducerError> {
    let mut findings = Findings::default();
    let mut entries = entries(path);
    while let Some(entry) = entries.recv().await {
        match entry? {
            Ok(_) => findings.good += 1,
            Err(BadLine { line, what }) => {
                findings.bad += 1;
                if findings.told.len() < TOLD {
                    findings.told.push(format!("{}:{line}: {what}", path.display()));
                }
            }
        }
    }
    Ok(findings)
}

/// The entries in order, with wrong lines in their places; an outer error is the last item.
pub fn entries(path: &Path) -> mpsc::Receiver<Result<Result<Entry, BadLine>, ProducerError>> {
    let (send, receive) = mpsc::channel(AHEAD);
    let path = path.to_owned();
    // Reading files blocks; the receiver going away ends the reading.
    tokio::task::spawn_blocking(move || {
        let outcome = lines::read(&path, |entry| send.blocking_send(Ok(entry)).is_ok());
        if let Err(error) = outcome {
            let _ = send.blocking_send(Err(error));
        }
    });
    receive
}
