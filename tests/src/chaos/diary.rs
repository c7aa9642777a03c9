//! What was asked of each call, and so what must be there at the end.

use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What an operator asked of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To delete it.
    Prune,
    /// To analyse it again, also when it was deleted.
    Force,
}

/// A command on a call, from its begin to its end.
#[derive(Debug, Clone, Copy)]
struct Deed {
    wish: Wish,
    begun: Instant,
    ended: Instant,
    /// It said that it did what was asked. Else it may have done all of it, a part, or nothing.
    certain: bool,
}

/// What must have become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Present,
    /// Nothing of it is left.
    Absent,
    /// Either, since commands ran at the same time or were cut short; but whole.
    Either,
}

/// All that was noted in a run.
#[derive(Debug, Default)]
pub struct Diary {
    deeds: BTreeMap<usize, Vec<Deed>>,
    /// Calls whose recording was deleted on request.
    pub without_recording: BTreeSet<usize>,
    /// Calls in whose place a message was sent that is no job.
    pub unreadable: BTreeSet<usize>,
    /// Codes of dropped dead letters, and when the drop ended.
    dropped: Vec<(&'static str, DateTime<Utc>)>,
    /// Kinds of events: how many and how long together.
    pub events: BTreeMap<&'static str, (u64, Duration)>,
    /// How commands of operators ended: command and exit code, or that they were killed.
    pub commands: BTreeMap<(String, String), u64>,
    /// What happened that must never happen.
    pub problems: Vec<String>,
}

impl Diary {
    /// A command on a call has ended.
    pub fn asked(&mut self, call: usize, wish: Wish, begun: Instant, certain: bool) {
        self.deeds.entry(call).or_default().push(Deed { wish, begun, ended: Instant::now(), certain });
    }

    /// Dead letters with this code were dropped, just now.
    pub fn dropped(&mut self, code: &'static str) {
        self.dropped.push((code, Utc::now()));
    }

    /// Whether a dead letter of this time may have been dropped.
    pub fn may_be_dropped(&self, code: &str, since: DateTime<Utc>) -> bool {
        self.dropped.iter().any(|(dropped, at)| *dropped == code && *at >= since)
    }

    /// What must have become of a call.
    pub fn fate(&self, call: usize) -> Fate {
        let deeds = self.deeds.get(&call).map(Vec::as_slice).unwrap_or_default();
        let of = |wish| deeds.iter().filter(move |deed| deed.wish == wish);
        let Some(last) = of(Wish::Prune).filter(|deed| deed.certain).max_by_key(|deed| deed.ended) else {
            return if of(Wish::Prune).next().is_none() { Fate::Present } else { Fate::Either };
        };
        // A prune that was cut short, or kept an open job, may have come later.
        let unsure = of(Wish::Prune).any(|deed| !deed.certain && deed.ended > last.begun);
        let mut forced = of(Wish::Force).filter(|deed| deed.ended > last.begun).peekable();
        if forced.peek().is_none() {
            return Fate::Absent;
        }
        let brought_back = forced.any(|deed| deed.certain && deed.begun > last.ended);
        if brought_back && !unsure && !self.without_recording.contains(&call) { Fate::Present } else { Fate::Either }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fate of a call after these commands, of a second each, one after the other.
    fn after(deeds: &[(Wish, bool)]) -> Fate {
        let (mut diary, begun) = (Diary::default(), Instant::now());
        for (number, (wish, certain)) in (0..).zip(deeds) {
            let at = |half: u32| begun + Duration::from_millis(500) * (2 * number + half);
            let deed = Deed { wish: *wish, begun: at(0), ended: at(1), certain: *certain };
            diary.deeds.entry(0).or_default().push(deed);
        }
        diary.fate(0)
    }

    #[test]
    fn a_call_is_where_the_last_certain_command_put_it() {
        use Wish::{Force, Prune};
        assert_eq!(after(&[]), Fate::Present);
        assert_eq!(after(&[(Force, true)]), Fate::Present);
        assert_eq!(after(&[(Prune, true)]), Fate::Absent);
        assert_eq!(after(&[(Prune, true), (Force, true)]), Fate::Present);
        assert_eq!(after(&[(Prune, true), (Force, false)]), Fate::Either);
        assert_eq!(after(&[(Prune, false)]), Fate::Either);
        assert_eq!(after(&[(Prune, false), (Prune, true)]), Fate::Absent);
        assert_eq!(after(&[(Prune, true), (Prune, false), (Force, true)]), Fate::Either);
        assert_eq!(after(&[(Force, true), (Prune, true)]), Fate::Absent);
    }
}
