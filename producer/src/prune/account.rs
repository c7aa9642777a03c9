//! What pruning did, or would do, in a few lines.

use adapters::postgres::{ExpiredCount, Forgotten};
use chrono::{DateTime, Utc};

use super::PruneArgs;
use super::objects::Deleted;

/// What was done so far.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) forgotten: Forgotten,
    pub(super) deleted: Deleted,
    /// Dead letters taken out of their queue.
    pub(super) letters: usize,
    /// Months of segments that were dropped.
    pub(super) months: u32,
    /// Jobs that were left alone because they have not ended.
    pub(super) unfinished: u64,
}

impl Account {
    pub(super) fn lines(&self, before: Option<DateTime<Utc>>) -> Vec<String> {
        let Forgotten { analyses, recordings, alerts, unsent, reviews } = self.forgotten;
        let Deleted { artifacts, bytes, recordings: files, changed } = self.deleted;
        let mut lines: Vec<_> = before.into_iter().map(day).collect();
        lines.push(format!("forgot    {analyses} analyses, {alerts} alerts and {reviews} reviews of them; {recordings} recordings have no analysis left"));
        if unsent > 0 {
            lines
                .push(format!("          {unsent} messages of those alerts had not been delivered, and never will be"));
        }
        lines.push(format!("deleted   {artifacts} artifacts, {:.1} MB; {files} recordings", bytes as f64 / 1e6));
        if changed > 0 {
            lines.push(format!("          {changed} recordings stay: they are other versions now than what was heard"));
        }
        if self.letters > 0 {
            lines.push(format!("          {} dead letters", self.letters));
        }
        if self.months > 0 {
            lines.push(format!("dropped   {} months of segments that are empty now", self.months));
        }
        lines.extend(left_alone(self.unfinished, before.is_none()));
        lines
    }
}

/// What would be done.
pub(super) fn forecast(count: &ExpiredCount, before: Option<DateTime<Utc>>, args: &PruneArgs) -> Vec<String> {
    let mut lines: Vec<_> = before.into_iter().map(day).collect();
    let since = count.earliest.map(|t| format!(", of calls from {} on", t.format("%Y-%m-%d"))).unwrap_or_default();
    let analyses = count.analyses + if args.even_unfinished { count.unfinished } else { 0 };
    lines.push(format!(
        "would go  {analyses} analyses{since}, with {} alerts and {} reviews",
        count.alerts, count.reviews
    ));
    let recordings = if args.recordings { "and the recordings that nothing else needs" } else { "no recordings" };
    lines.push(format!("          their artifacts, {recordings}; nothing was changed (--dry-run)"));
    if !args.even_unfinished {
        lines.extend(left_alone(count.unfinished, before.is_none()));
    }
    lines
}

fn day(before: DateTime<Utc>) -> String {
    format!("calls     before {}", before.format("%Y-%m-%d %H:%M UTC"))
}

fn left_alone(unfinished: u64, one_call: bool) -> Option<String> {
    let advice = if one_call { ": run this again when they have, or with --even-unfinished" } else { "" };
    (unfinished > 0).then(|| format!("stay      {unfinished} jobs that have not ended{advice}"))
}
