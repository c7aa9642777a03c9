//! A manifest: a table of recordings and call data, as CSV, workbook, JSON lines or JSON array. Read line by line, twice:
//! first to find every wrong line, then to enqueue.

mod columns;
mod lines;
mod names;
mod places;
mod repeats;
mod roles;

use domain::{CallData, ChannelLayout};
use encoding_rs::Encoding;
use std::collections::hash_map::{DefaultHasher, Entry as Slot};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

pub(crate) use lines::entry_of_json;

use crate::dates::{DateOrder, Dates};
use crate::error::ProducerError;
use crate::sheet::TableFile;
use places::Places;
use repeats::{LinesOfKeys, Merger};

/// Lines read ahead.
const AHEAD: usize = 1000;
/// Wrong lines that are reported in full.
const REPORTED: usize = 50;

/// How a manifest is read.
#[derive(Debug, Clone, Default)]
pub struct ManifestOptions {
    /// Its encoding; detected without.
    pub(crate) encoding: Option<&'static Encoding>,
    /// How its times are read.
    pub(crate) dates: Dates,
    /// Columns that are attributes, whatever they resemble.
    pub(crate) attributes: Vec<String>,
}

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
    /// Its time named no zone.
    pub local_time: bool,
    /// The order of day and month that its time shows.
    pub(crate) date_order: Option<DateOrder>,
    /// How many lines it was made of.
    pub lines: u64,
    /// An earlier entry is about the same recording.
    pub repeated: bool,
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
    /// What the user should know about how it is read.
    pub notices: Vec<String>,
}

/// A manifest that was checked, and is read alike again.
#[derive(Debug, Clone)]
pub struct Manifest {
    file: TableFile,
    options: ManifestOptions,
    /// Lines that are wrong because of other lines, and why.
    refused: Arc<HashMap<u64, String>>,
    lines_of_keys: Arc<LinesOfKeys>,
    places: Arc<Places>,
}

impl Manifest {
    /// Looks at the file: its format and encoding.
    ///
    /// # Errors
    /// [`ProducerError::Input`] when the file can't be read.
    pub fn open(path: &Path, options: ManifestOptions) -> Result<Self, ProducerError> {
        let file = TableFile::look(path, options.encoding)?;
        Ok(Self { file, options, refused: Arc::default(), lines_of_keys: Arc::default(), places: Arc::default() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Reads the whole manifest and checks each line.
    ///
    /// # Errors
    /// [`ProducerError::Input`] when the file can't be read, or its header is wrong.
    pub async fn check(&mut self) -> Result<Findings, ProducerError> {
        let mut this = self.clone();
        let task = tokio::task::spawn_blocking(move || this.check_blocking().map(|findings| (this, findings)));
        let (checked, findings) =
            task.await.unwrap_or_else(|e| Err(ProducerError::input(format!("reading ended: {e}"))))?;
        *self = checked;
        Ok(findings)
    }

    fn check_blocking(&mut self) -> Result<Findings, ProducerError> {
        let (findings, orders) = self.check_once()?;
        let [Some(day), Some(month)] = orders else { return Ok(findings) };
        self.options.dates.mixed = true;
        let (mut findings, _) = self.check_once()?;
        findings.notices.push(format!(
            "line {day} has the day first in its date, line {month} the month: none of both is believed"
        ));
        Ok(findings)
    }

    /// With the first lines whose times show that the day is first, and that the month is.
    fn check_once(&mut self) -> Result<(Findings, [Option<u64>; 2]), ProducerError> {
        let mut orders = [None; 2];
        let mut findings = Findings { notices: self.notices()?, ..Findings::default() };
        let mut calls = Calls::default();
        let (mut lines_of_keys, mut places) = (LinesOfKeys::new(), Places::default());
        let (mut local, mut bad) = (0_u64, Vec::new());
        self.read(|line| {
            match line {
                Line::Entry(entry) => {
                    findings.good += 1;
                    local += u64::from(entry.local_time);
                    if let Some(order) = entry.date_order {
                        orders[usize::from(order == DateOrder::Mdy)].get_or_insert(entry.line);
                    }
                    calls.add(&entry);
                    places.add(&entry.key);
                    *lines_of_keys.entry(hash(&entry.key)).or_default() += 1;
                }
                Line::Bad(BadLine { line, what }) => {
                    findings.bad += 1;
                    if bad.len() < REPORTED {
                        bad.push((line, what));
                    }
                }
            }
            true
        })?;
        findings.good -= calls.refused.len() as u64;
        findings.bad += calls.refused.len() as u64;
        bad.extend(calls.refused.iter().map(|(line, what)| (*line, what.clone())));
        bad.sort_unstable();
        bad.truncate(REPORTED);
        let path = self.file.path.display();
        findings.reported = bad.into_iter().map(|(line, what)| format!("{path}:{line}: {what}")).collect();
        if local > 0 && self.options.dates.zone.is_none() {
            findings.notices.push(format!(
                "{local} times name no time zone: read as UTC; --timezone Asia/Shanghai, say, reads them as local times"
            ));
        }
        self.refused = Arc::new(calls.refused);
        self.lines_of_keys = Arc::new(lines_of_keys);
        self.places = Arc::new(places);
        Ok((findings, orders))
    }

    /// Whether a line names this key, in this spelling. Known once it was checked.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.lines_of_keys.contains_key(&hash(key))
    }

    /// What the keys begin with, as they are spelled, and how many lines do. Known once it was checked.
    pub(crate) fn prefixes(&self) -> Vec<(String, u64)> {
        self.places.prefixes()
    }

    /// The recordings, nearly in the order of their lines: lines about the same one are brought together, so that a later
    /// line replaces what an earlier one said. An error of the file itself is the last item.
    pub fn entries(&self) -> mpsc::Receiver<Result<Line, ProducerError>> {
        let (send, receive) = mpsc::channel(AHEAD);
        let this = self.clone();
        // Reading files blocks. A dropped receiver ends it.
        tokio::task::spawn_blocking(move || {
            let mut merger = Merger::new(this.lines_of_keys.clone());
            let outcome = this.read(|line| match this.without_refused(line) {
                Line::Entry(entry) => {
                    merger.add(entry).into_iter().all(|entry| send.blocking_send(Ok(Line::Entry(entry))).is_ok())
                }
                bad @ Line::Bad(_) => send.blocking_send(Ok(bad)).is_ok(),
            });
            let rest = merger.end().into_iter().map(|entry| Ok(Line::Entry(entry)));
            for last in rest.chain(outcome.err().map(Err)) {
                if send.blocking_send(last).is_err() {
                    break;
                }
            }
        });
        receive
    }

    /// Reads all lines in order, or until `take` returns false; blocks.
    ///
    /// # Errors
    /// [`ProducerError::Input`] when the file can't be read, or its header is wrong.
    pub(crate) fn each(&self, take: impl FnMut(Line) -> bool) -> Result<(), ProducerError> {
        self.read(take)
    }

    fn without_refused(&self, line: Line) -> Line {
        match line {
            Line::Entry(entry) => match self.refused.get(&entry.line) {
                Some(what) => Line::Bad(BadLine { line: entry.line, what: what.clone() }),
                None => Line::Entry(entry),
            },
            bad @ Line::Bad(_) => bad,
        }
    }
}

/// Finds keys that belong to two calls: of a recording there is one analysis, which has one call. Hashes, not texts, are
/// in memory.
#[derive(Default)]
struct Calls {
    /// Of a key: the first line that names a call, and the call.
    first: HashMap<u64, (u64, u64)>,
    told: HashSet<u64>,
    refused: HashMap<u64, String>,
}

impl Calls {
    fn add(&mut self, entry: &Entry) {
        let Some(call) = &entry.call.call_id else { return };
        let (key, call_hash) = (hash(&entry.key), hash(call));
        match self.first.entry(key) {
            Slot::Vacant(slot) => {
                slot.insert((entry.line, call_hash));
            }
            Slot::Occupied(slot) => {
                let (line, known) = *slot.get();
                let why = |other: u64| {
                    format!(
                        "`{}` is in line {other} too, with another call_id: a recording belongs to one call; correct one of both",
                        entry.key
                    )
                };
                if known != call_hash || self.told.contains(&key) {
                    self.told.insert(key);
                    self.refused.entry(line).or_insert_with(|| why(entry.line));
                    self.refused.insert(entry.line, why(line));
                }
            }
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
