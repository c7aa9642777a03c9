//! The dispatcher's metrics, as Prometheus reads them from `/metrics`.

use adapters::postgres::Database;
use domain::alert::{AMQP, DeliveryOutcome, Rulebook};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabel {
    destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    destination: String,
    /// busy, failed or refused
    how: &'static str,
}

/// The counters of this dispatcher, and the gauges of the outbox, which all dispatchers share.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    destinations: Vec<String>,
    delivered: Family<DestinationLabel, Counter>,
    undelivered: Family<OutcomeLabels, Counter>,
    given_up: Family<DestinationLabel, Counter>,
    waiting: Family<DestinationLabel, Gauge>,
    oldest_seconds: Family<DestinationLabel, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    /// Counters for the exchange and these destinations, from 0.
    pub(super) fn new(rulebook: &Rulebook, file_errors: usize) -> Self {
        let named = rulebook.destinations.iter().map(|destination| destination.name.clone());
        let mut this = Self {
            registry: Registry::with_prefix("emofleet_alerts"),
            destinations: named.chain([AMQP.to_owned()]).collect(),
            delivered: Family::default(),
            undelivered: Family::default(),
            given_up: Family::default(),
            waiting: Family::default(),
            oldest_seconds: Family::default(),
        };
        let registry = &mut this.registry;
        let errors = Gauge::<i64>::default();
        errors.set(i64::try_from(file_errors).unwrap_or(i64::MAX));
        registry.register("file_errors", "Errors of the alert file; the parts that have them are set aside", errors);
        registry.register("delivered", "Messages delivered", this.delivered.clone());
        registry.register(
            "undelivered",
            "Requests that were not delivered: busy (rate limit of the destination), failed, refused (this request alone)",
            this.undelivered.clone(),
        );
        registry.register("given_up", "Messages given up after dispatcher.max_attempts", this.given_up.clone());
        registry.register("waiting", "Pending messages in the outbox, of all dispatchers", this.waiting.clone());
        registry.register("oldest_seconds", "Age of the oldest pending message", this.oldest_seconds.clone());
        for destination in &this.destinations {
            drop(this.delivered.get_or_create(&label(destination)));
            drop(this.given_up.get_or_create(&label(destination)));
        }
        this
    }

    /// Counts a request with this many messages.
    pub(super) fn request_ended(&self, destination: &str, messages: usize, outcome: &DeliveryOutcome) {
        if *outcome == DeliveryOutcome::Delivered {
            self.delivered.get_or_create(&label(destination)).inc_by(messages as u64);
        } else {
            let labels = OutcomeLabels { destination: destination.to_owned(), how: outcome.label() };
            self.undelivered.get_or_create(&labels).inc();
        }
    }

    /// Counts messages that were given up.
    pub(super) fn given_up(&self, destination: &str, messages: u64) {
        self.given_up.get_or_create(&label(destination)).inc_by(messages);
    }

    /// The page in Prometheus' text format. The gauges are read from the database; without it, the page
    /// lacks them.
    pub(super) async fn page(&self, database: &Database) -> String {
        let backlog = database.outbox_backlog().await;
        self.waiting.clear();
        self.oldest_seconds.clear();
        if let Ok(backlog) = backlog {
            for destination in &self.destinations {
                self.waiting.get_or_create(&label(destination)).set(0);
                self.oldest_seconds.get_or_create(&label(destination)).set(0.0);
            }
            for pending in backlog {
                self.waiting.get_or_create(&label(&pending.destination)).set(pending.messages);
                self.oldest_seconds.get_or_create(&label(&pending.destination)).set(pending.oldest_s);
            }
        }
        let mut page = String::new();
        match encode(&mut page, &self.registry) {
            Ok(()) => page,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

fn label(destination: &str) -> DestinationLabel {
    DestinationLabel { destination: destination.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_of_a_dispatcher_is_documented() {
        let documented = include_str!("../../docs/monitoring.md");
        let metrics = Metrics::new(&Rulebook::default(), 0);
        metrics.request_ended(AMQP, 1, &DeliveryOutcome::Refused { reason: "no".into() });
        metrics.waiting.get_or_create(&label(AMQP)).set(1);
        metrics.oldest_seconds.get_or_create(&label(AMQP)).set(1.0);
        let mut page = String::new();
        encode(&mut page, &metrics.registry).expect("a string takes any text");
        for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(documented.contains(&format!("`{name}")), "{name} is missing in docs/monitoring.md");
        }
        assert_eq!(page.matches("# TYPE ").count(), 6, "{page}");
    }
}
