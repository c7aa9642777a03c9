//! Teams or agents, those with the most negative speech first.

use adapters::postgres::console::EmotionCount;
use domain::visible::visible;

use super::stack::{Part, Tally};
use crate::pages::frame::Frame;

/// Most rows of a table.
const ROWS: usize = 50;

/// The rows of a table.
pub(super) struct Groups {
    /// Name of the filter that a row's calls have.
    pub(super) filter: &'static str,
    pub(super) rows: Vec<Group>,
    /// How many are shown, where there are more.
    pub(super) cut: Option<f64>,
}

/// A team or an agent.
pub(super) struct Group {
    /// Its name; `None`: the calls for which none is named.
    pub(super) name: Option<String>,
    /// Its calls.
    pub(super) address: Option<String>,
    pub(super) tally: Tally,
    /// Its counts in words.
    pub(super) words: String,
    pub(super) parts: Vec<Part>,
}

impl Groups {
    pub(super) fn new(
        f: &Frame,
        filter: &'static str,
        counts: &[EmotionCount],
        address: impl Fn(&str) -> String,
    ) -> Self {
        let group = |count: &EmotionCount| {
            let (mut tally, key) = (Tally::default(), count.key.as_deref().filter(|key| !key.is_empty()));
            tally.add(count);
            Group {
                name: key.map(|key| visible(key).into_owned()),
                address: key.map(&address),
                words: tally.words(f),
                parts: tally.parts(tally.channels()),
                tally,
            }
        };
        let mut rows: Vec<Group> = counts.iter().map(group).collect();
        rows.sort_by(|a, b| b.tally.negative().total_cmp(&a.tally.negative()));
        let cut = (rows.len() > ROWS).then_some(ROWS as f64);
        rows.truncate(ROWS);
        Self { filter, rows, cut }
    }
}
