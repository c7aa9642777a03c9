//! What a watcher has done: for its progress line, its last words, and `/metrics`.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::PoisonError;
use std::sync::RwLock;

/// Counters and gauges of one watcher.
#[derive(Debug)]
pub(super) struct Tally {
    registry: RwLock<Registry>,
    pub(super) enqueued: Counter,
    pub(super) known: Counter,
    pub(super) corrected: Counter,
    pub(super) without_call_data: Counter,
    pub(super) left_out: Counter,
    pub(super) not_audio: Counter,
    pub(super) pruned: Counter,
    pub(super) older: Counter,
    pub(super) uploaded: Counter,
    pub(super) events: Counter,
    pub(super) set_aside: Counter,
    pub(super) listings: Counter,
    pub(super) full_listings: Counter,
    pub(super) listed: Counter,
    pub(super) waiting: Gauge,
    pub(super) last_look: Gauge,
}

impl Tally {
    pub(super) fn new() -> Self {
        let this = Self {
            registry: RwLock::new(Registry::with_prefix("emofleet_watch")),
            enqueued: Counter::default(),
            known: Counter::default(),
            corrected: Counter::default(),
            without_call_data: Counter::default(),
            left_out: Counter::default(),
            not_audio: Counter::default(),
            pruned: Counter::default(),
            older: Counter::default(),
            uploaded: Counter::default(),
            events: Counter::default(),
            set_aside: Counter::default(),
            listings: Counter::default(),
            full_listings: Counter::default(),
            listed: Counter::default(),
            waiting: Gauge::default(),
            last_look: Gauge::default(),
        };
        let mut registry = this.registry.write().unwrap_or_else(PoisonError::into_inner);
        let counters = [
            ("enqueued", "Jobs published and confirmed", &this.enqueued),
            ("known", "Recordings that were enqueued before", &this.known),
            ("corrected", "Recordings whose call data came later or was corrected", &this.corrected),
            (
                "without_call_data",
                "Recordings enqueued without the call data that they waited for",
                &this.without_call_data,
            ),
            ("left_out", "Keys, files and call data that can't be taken, for reasons in the log", &this.left_out),
            ("not_audio", "Objects and files skipped by their names", &this.not_audio),
            ("older", "Recordings left alone because they are older than --newer-than", &this.older),
            ("pruned", "Recordings left out because retention has deleted their rows", &this.pruned),
            ("uploaded", "Files uploaded", &this.uploaded),
            ("events", "Notifications of the store received", &this.events),
            ("set_aside", "Notifications set aside because they can't be read", &this.set_aside),
            ("listings", "Looks for new recordings", &this.listings),
            ("full_listings", "Of these, at the whole prefix", &this.full_listings),
            ("listed", "Keys and files seen by these looks", &this.listed),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register("waiting", "Recordings that do not rest yet, or wait for call data", this.waiting.clone());
        registry.register("last_look_seconds", "When the last look ended, as Unix time", this.last_look.clone());
        drop(registry);
        this
    }

    /// The page for Prometheus.
    pub(super) fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut page, &self.registry.read().unwrap_or_else(PoisonError::into_inner));
        page
    }

    /// What has been done, in one line; what is nothing is left out.
    pub(super) fn line(&self) -> String {
        let mut parts = vec![format!("{} enqueued", self.enqueued.get())];
        let others = [
            (self.known.get(), "known"),
            (self.corrected.get(), "corrected"),
            (self.without_call_data.get(), "without call data"),
            (self.left_out.get(), "left out"),
            (self.older.get(), "older"),
            (self.pruned.get(), "pruned before"),
            (self.set_aside.get(), "notifications set aside"),
            (u64::try_from(self.waiting.get()).unwrap_or_default(), "waiting"),
        ];
        parts.extend(others.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        parts.join("  ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_of_a_watcher_is_documented() {
        let documented = include_str!("../../../docs/monitoring.md");
        let page = Tally::new().page();
        for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(documented.contains(&format!("`{name}")), "{name} is missing in docs/monitoring.md");
        }
        assert_eq!(page.matches("# TYPE ").count(), 16, "{page}");
    }
}
