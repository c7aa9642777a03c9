//! The filters in force, each with the address of the page without it.

use domain::visible::visible;

use super::Filter;
use crate::pages::frame::Frame;

/// A filter in force.
pub(in crate::pages) struct Chip {
    /// What it says.
    pub(in crate::pages) text: String,
    /// The page without it; `None`: it can't be taken away.
    pub(in crate::pages) without: Option<String>,
}

impl Filter {
    /// The chips of a page; `names`: the filters that the page has, beside the time.
    pub(in crate::pages) fn chips(&self, f: &Frame, path: &str, names: &[&str]) -> Vec<Chip> {
        let mut chips = self.time_chips(f, path);
        if let Some(team) = self.bound() {
            chips.push(Chip { text: f.w("chip-team", &team), without: None });
        }
        for (name, key) in [("team", "chip-team"), ("agent", "chip-agent"), ("customer", "chip-customer")] {
            let value = self.typed(name);
            if names.contains(&name) && !value.is_empty() && !(name == "team" && self.bound.is_some()) {
                chips.push(self.chip(path, name, f.w(key, &visible(value))));
            }
        }
        if let Some(emotion) = self.emotion.filter(|_| names.contains(&"emotion")) {
            let text = format!("{} {}", emotion.emoji(), f.emotion(&emotion));
            chips.push(self.chip(path, "emotion", text));
        }
        if self.alerts && names.contains(&"alerts") {
            chips.push(self.chip(path, "alerts", f.t("filter-alerts")));
        }
        chips
    }

    fn time_chips(&self, f: &Frame, path: &str) -> Vec<Chip> {
        if !self.is_dated() {
            let Some(days) = self.days else { return Vec::new() };
            let without = Some(self.with(path, &[("days", Some("all"))]));
            return vec![Chip { text: f.n("days", &(days as f64)), without }];
        }
        let both = self.from.is_some() && self.to.is_some();
        let mut chips = Vec::new();
        for (name, key, date) in [("from", "chip-from", self.from), ("to", "chip-to", self.to)] {
            let Some(date) = date else { continue };
            let any_time = [(name, None), ("days", Some("all"))];
            let without = self.with(path, if both { &any_time[..1] } else { &any_time });
            chips.push(Chip { text: f.w(key, &date.to_string()), without: Some(without) });
        }
        chips
    }

    fn chip(&self, path: &str, name: &str, text: String) -> Chip {
        Chip { text, without: Some(self.with(path, &[(name, None)])) }
    }
}
