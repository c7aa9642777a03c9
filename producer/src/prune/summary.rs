//! The summary of a pruning, or of a dry run, in a few lines.

use adapters::postgres::{ExpiredCount, PruneSummary};
use adapters::retention::{DeletedObjects, Erased};
use chrono::{DateTime, Utc};

use super::PruneArgs;

/// What was deleted so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) erased: Erased,
    /// Partitions of segments that were dropped.
    pub(super) months: u32,
    /// Jobs that were kept because they have not ended.
    pub(super) open: u64,
    /// Recordings that were kept, with their analyses: only the date in their call data is old.
    pub(super) late: u64,
}

impl Summary {
    pub(super) fn lines(&self, before: Option<DateTime<Utc>>) -> Vec<String> {
        let PruneSummary { analyses, recordings, alerts, unsent, reviews } = self.erased.rows;
        let DeletedObjects { artifacts, bytes, recordings: files, changed } = self.erased.objects;
        let mut lines: Vec<_> = before.into_iter().map(day).collect();
        lines.push(format!(
            "deleted   {analyses} analyses with {alerts} alerts and {reviews} reviews; {recordings} recordings had no other"
        ));
        if unsent > 0 {
            lines.push(format!("          {unsent} messages of those alerts that had not been delivered"));
        }
        lines.push(format!(
            "          {artifacts} artifacts, {:.1} MB; {files} recordings in the store",
            bytes as f64 / 1e6
        ));
        if self.erased.dead_letters > 0 {
            lines.push(format!("          {} dead letters", self.erased.dead_letters));
        }
        if self.erased.letters_away > 0 {
            lines.push(format!(
                "not found {} dead letters of failed jobs: another program may have them in flight, or they were dropped; \
                 run this again when it has ended",
                self.erased.letters_away
            ));
        }
        if self.erased.letter_readers > 0 {
            lines.push(format!(
                "consumed  the dead letters have {} consumers, which may have letters of the call in flight: run this again \
                 when they have ended",
                self.erased.letter_readers
            ));
        }
        if self.months > 0 {
            lines.push(format!("          {} empty months of segments", self.months));
        }
        if changed > 0 {
            lines.push(format!("kept      {changed} recordings that were replaced by another version since"));
        }
        lines.extend(kept(self.open, before.is_none()));
        lines.extend(late(self.late));
        let letters = self.erased.letters_left.iter();
        lines.extend(
            letters.map(|failure| format!("kept      dead letters of deleted calls: {failure}; run this again")),
        );
        lines
    }
}

/// What would be deleted.
pub(super) fn forecast(count: &ExpiredCount, before: Option<DateTime<Utc>>, args: &PruneArgs) -> Vec<String> {
    let mut lines: Vec<_> = before.into_iter().map(day).collect();
    let since = count.earliest.map(|t| format!(", of calls from {} on", t.format("%Y-%m-%d"))).unwrap_or_default();
    let analyses = count.analyses + if args.even_unfinished { count.open } else { 0 };
    lines.push(format!(
        "would delete {analyses} analyses{since}, with {} alerts and {} reviews",
        count.alerts, count.reviews
    ));
    lines.extend(count.years.iter().map(|(year, analyses)| format!("             {analyses:>9} of {year}")));
    for (analyses, why) in [
        (count.undated, "without a time in the call data"),
        (count.implausible, "with an implausible time in the call data"),
    ] {
        if analyses > 0 {
            lines.push(format!("             {analyses:>9} {why}: by the day on which they were enqueued"));
        }
    }
    let recordings = if args.recordings { "and the recordings that no other analysis needs" } else { "no recordings" };
    lines.push(format!("             their artifacts, {recordings}; nothing was changed (--dry-run)"));
    if !args.even_unfinished {
        lines.extend(kept(count.open, before.is_none()));
    }
    lines.extend(late(count.late));
    lines
}

fn day(before: DateTime<Utc>) -> String {
    format!("calls     before {}", before.format("%Y-%m-%d %H:%M UTC"))
}

fn late(recordings: u64) -> Option<String> {
    (recordings > 0).then(|| {
        format!(
            "kept      {recordings} recordings with their analyses: their call data has an old date, but they were \
             enqueued later; --confirm {recordings} deletes them too"
        )
    })
}

fn kept(open: u64, one_call: bool) -> Option<String> {
    let advice = if one_call { ": run this again when they have, or with --even-unfinished" } else { "" };
    (open > 0).then(|| format!("kept      {open} jobs that have not ended{advice}"))
}
