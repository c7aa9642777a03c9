//! Lines of a manifest about the same recording are one entry: what a later line says replaces what an earlier one said.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use super::{Entry, hash};

/// Entries that wait for further lines; past this number, entries are not held back.
const MOST_HELD: usize = 50_000;

/// How many lines each key has, by hash of the key.
pub(super) type LinesOfKeys = HashMap<u64, u32>;

/// Brings the lines of each key together.
pub(super) struct Merger {
    lines: Arc<LinesOfKeys>,
    /// Lines seen, of keys with several.
    seen: HashMap<u64, u32>,
    held: HashMap<u64, Entry>,
}

impl Merger {
    pub(super) fn new(lines: Arc<LinesOfKeys>) -> Self {
        Self { lines, seen: HashMap::new(), held: HashMap::new() }
    }

    /// The next line's entry. Returns entries that no further line is about.
    pub(super) fn add(&mut self, entry: Entry) -> Vec<Entry> {
        let key = hash(&entry.key);
        let lines = self.lines.get(&key).copied().unwrap_or(1);
        if lines == 1 {
            return vec![entry];
        }
        let seen = self.seen.entry(key).or_default();
        *seen += 1;
        let is_last = *seen == lines;
        let mut entry = Entry { repeated: *seen > 1, ..entry };
        let mut done = Vec::new();
        if let Some(earlier) = self.held.remove(&key) {
            if earlier.channels == entry.channels || entry.channels.is_none() {
                entry = merged(earlier, entry);
            } else {
                // Other roles are another job.
                done.push(earlier);
            }
        }
        if is_last || self.held.len() >= MOST_HELD {
            done.push(entry);
        } else if let Slot::Vacant(slot) = self.held.entry(key) {
            slot.insert(entry);
        }
        done
    }

    /// The rest, in the order of their lines.
    pub(super) fn end(self) -> Vec<Entry> {
        let mut rest: Vec<Entry> = self.held.into_values().collect();
        rest.sort_by_key(|entry| entry.line);
        rest
    }
}

/// Two lines as one, as if they were enqueued one after the other.
fn merged(mut first: Entry, second: Entry) -> Entry {
    let (call, later) = (&mut first.call, second.call);
    call.call_id = later.call_id.or(call.call_id.take());
    call.agent = later.agent.or(call.agent.take());
    call.team = later.team.or(call.team.take());
    call.customer = later.customer.or(call.customer.take());
    call.started_at = later.started_at.or(call.started_at);
    call.attributes.extend(later.attributes);
    first.lines += second.lines;
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{CallData, ChannelLayout};

    fn entry(line: u64, key: &str, call: CallData) -> Entry {
        Entry {
            line,
            key: key.into(),
            call,
            channels: None,
            local_time: false,
            date_order: None,
            lines: 1,
            repeated: false,
        }
    }

    fn merged_entries(entries: Vec<Entry>) -> Vec<Entry> {
        let mut lines = LinesOfKeys::new();
        for entry in &entries {
            *lines.entry(hash(&entry.key)).or_default() += 1;
        }
        let mut merger = Merger::new(Arc::new(lines));
        let mut all: Vec<Entry> = entries.into_iter().flat_map(|entry| merger.add(entry)).collect();
        assert_eq!(merger.end(), []);
        all.sort_by_key(|entry| entry.line);
        all
    }

    #[test]
    fn a_later_line_replaces_what_it_says_and_keeps_the_rest() {
        let call = |agent: Option<&str>, team: Option<&str>, product: &str| CallData {
            agent: agent.map(str::to_owned),
            team: team.map(str::to_owned),
            attributes: [("product".to_owned(), product.to_owned()), (product.to_owned(), "x".to_owned())].into(),
            ..CallData::default()
        };
        let found = merged_entries(vec![
            entry(2, "a.wav", call(Some("a1"), Some("blue"), "p")),
            entry(3, "b.wav", CallData::default()),
            entry(4, "a.wav", call(Some("a2"), None, "q")),
            entry(5, "a.wav", CallData::default()),
        ]);
        assert_eq!(found.len(), 2);
        let a = &found[0];
        assert_eq!((a.line, a.lines, a.repeated), (2, 3, false));
        assert_eq!((a.call.agent.as_deref(), a.call.team.as_deref()), (Some("a2"), Some("blue")));
        assert_eq!(a.call.attributes.len(), 3);
        assert_eq!(a.call.attributes["product"], "q");
    }

    #[test]
    fn other_roles_are_another_job_of_the_same_recording() {
        let mix = Entry { channels: Some(ChannelLayout::Mix), ..entry(3, "a.wav", CallData::default()) };
        let found = merged_entries(vec![entry(2, "a.wav", CallData::default()), mix]);
        assert_eq!(found.iter().map(|entry| entry.repeated).collect::<Vec<_>>(), [false, true]);
    }
}
