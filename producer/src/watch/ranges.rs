//! Where in a prefix new recordings come: ranges of keys, by the times of the objects in a listing.
//!
//! A listing is taken as stretches of a thousand keys. Each stretch in which an object was written lately is a range, and so
//! are the stretch behind it and the end of the prefix. With dates in the keys this is today's folder of each team,
//! whatever the years before hold; with random keys it is everything.

use adapters::postgres::KeyRange;
use adapters::s3::ObjectInfo;
use chrono::{DateTime, Utc};

use super::sidecar::base;

/// Keys of a stretch: those of one request.
const STRETCH: usize = 1000;
/// With more ranges than these, one takes their place.
const MOST_RANGES: usize = 100;

/// Builds the ranges while a prefix is listed.
#[derive(Debug)]
pub(super) struct Places {
    /// Written since then is lately.
    since: DateTime<Utc>,
    in_stretch: usize,
    /// The range that the present stretch begins.
    begins: Option<String>,
    /// The stretch before was one of new objects.
    goes_on: bool,
    last: String,
    ordered: bool,
    ranges: Vec<KeyRange>,
}

impl Places {
    pub(super) fn new(since: DateTime<Utc>) -> Self {
        Self {
            since,
            in_stretch: 0,
            begins: None,
            goes_on: false,
            last: String::new(),
            ordered: true,
            ranges: Vec::new(),
        }
    }

    /// The next object of the listing.
    pub(super) fn see(&mut self, object: &ObjectInfo) {
        if self.in_stretch == STRETCH {
            self.close();
        }
        self.ordered &= self.last < object.key;
        if self.begins.is_none() && object.modified.is_none_or(|at| at >= self.since) {
            // A recording and its sidecar are in one range.
            let before = base(&object.key);
            self.begins = Some(before.min(self.last.as_str()).to_owned());
        }
        self.last.clone_from(&object.key);
        self.in_stretch += 1;
    }

    fn close(&mut self) {
        let begins = self.begins.take();
        let last = || Some(behind_nul(&self.last));
        match self.ranges.last_mut() {
            Some(range) if self.goes_on => range.until = last(),
            _ => {
                if let Some(after) = &begins {
                    self.ranges.push(KeyRange { after: before_nul(after), until: last() });
                }
            }
        }
        self.goes_on = begins.is_some();
        self.in_stretch = 0;
    }

    /// The ranges; all of the prefix where the store does not list keys in the order of their bytes.
    pub(super) fn ranges(mut self) -> Vec<KeyRange> {
        self.close();
        let all = |after: String| vec![KeyRange { after, until: None }];
        if !self.ordered {
            return all(String::new());
        }
        let end = behind_nul(&self.last);
        match self.ranges.last_mut() {
            Some(range) if range.until.as_ref() == Some(&end) => range.until = None,
            _ => self.ranges.push(KeyRange { after: before_nul(&self.last), until: None }),
        }
        if self.ranges.len() > MOST_RANGES {
            return all(self.ranges.swap_remove(0).after);
        }
        self.ranges
    }
}

/// A key that Postgres can store, not behind this one.
fn before_nul(key: &str) -> String {
    key.split('\0').next().unwrap_or_default().to_owned()
}

/// A key that Postgres can store, not before this one.
fn behind_nul(key: &str) -> String {
    key.split_once('\0').map_or_else(|| key.to_owned(), |(begin, _)| format!("{begin}\u{1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    /// Ranges of a listing of keys that were written this many seconds ago.
    fn ranges(objects: impl IntoIterator<Item = (String, i64)>) -> Vec<(String, Option<String>)> {
        let at = |seconds| DateTime::from_timestamp(seconds, 0);
        let mut places = Places::new(at(NOW - 100).expect("a time"));
        for (key, age) in objects {
            places.see(&ObjectInfo { key, etag: None, bytes: 1, modified: at(NOW - age) });
        }
        places.ranges().into_iter().map(|range| (range.after, range.until)).collect()
    }

    #[test]
    fn with_dates_in_keys_only_the_end_is_looked_at() {
        let day = |day: u32, age| (0..3_000).map(move |i| (format!("2026/11/{day:02}/{i:05}.wav"), age));
        assert_eq!(ranges(day(25, 9_000).chain(day(26, 50))), [("2026/11/25/02999.wav".into(), None)]);
        assert_eq!(ranges(day(25, 9_000)), [("2026/11/25/02999.wav".into(), None)]);
        assert_eq!(ranges([]), [(String::new(), None)]);
    }

    #[test]
    fn each_team_has_its_own_place_and_room_behind_it() {
        let team = |team: &'static str| {
            let old = (0..2_500).map(move |i| (format!("{team}/2026/11/25/{i:05}.wav"), 9_000));
            old.chain((0..10).map(move |i| (format!("{team}/2026/11/26/{i:05}.wav"), 5)))
        };
        let found = ranges(["a", "b", "c"].into_iter().flat_map(team).chain([("d/old.wav".to_owned(), 9_000)]));
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0].0, "a/2026/11/25/02499.wav");
        // Room for tomorrow's folder of team a, up to the middle of team b's old recordings.
        let until = found[0].1.as_deref().expect("not to the end");
        assert!("a/2026/11/27/" < until && until < "b/2026/11/26/", "{until}");
        assert_eq!(found[2].1, None);
    }

    #[test]
    fn random_keys_are_everywhere_and_so_is_an_order_of_the_stores_own() {
        let random = (0..5_000_u32).map(|i| (format!("{i:08x}.wav"), if i % 700 == 0 { 5 } else { 9_000 }));
        let found = ranges(random);
        assert_eq!(found, [(String::new(), None)]);
        assert_eq!(ranges([("b.wav".to_owned(), 9_000), ("a.wav".to_owned(), 9_000)]), [(String::new(), None)]);
    }

    #[test]
    fn a_recording_is_in_the_range_of_its_sidecar() {
        let found = ranges([("call.json".to_owned(), 5), ("call.wav".to_owned(), 9_000)]);
        assert_eq!(found, [(String::new(), None)]);
        let found =
            ranges([("b.wav".to_owned(), 9_000), ("call.wav".to_owned(), 9_000), ("call.wav.json".to_owned(), 5)]);
        assert_eq!(found, [("call".to_owned(), None)]);
    }
}
