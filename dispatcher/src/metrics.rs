//! What the dispatcher counts, as Prometheus reads it from `/metrics`.

use adapters::postgres::{Database, Settlement};
use domain::alert::{AMQP, Rulebook};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct To {
    destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct How {
    destination: String,
    /// busy, failed or refused
    how: &'static str,
}

/// The counters of one dispatcher, and the gauges of what waits for all of them.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    destinations: Vec<String>,
    delivered: Family<To, Counter>,
    undelivered: Family<How, Counter>,
    given_up: Family<To, Counter>,
    waiting: Family<To, Gauge>,
    oldest_seconds: Family<To, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    /// Counters of these rules' destinations and the exchange, from 0.
    pub(super) fn of(rulebook: &Rulebook) -> Self {
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
        registry.register("delivered", "Messages that their destination took", this.delivered.clone());
        registry.register(
            "undelivered",
            "Requests that were not taken: busy (the destination limits us), failed, refused (the message as such)",
            this.undelivered.clone(),
        );
        registry.register("given_up", "Messages given up after dispatcher.max_attempts", this.given_up.clone());
        registry.register("waiting", "Messages that wait, whoever will send them", this.waiting.clone());
        registry.register("oldest_seconds", "For how long the oldest of them has waited", this.oldest_seconds.clone());
        for destination in &this.destinations {
            drop(this.delivered.get_or_create(&to(destination)));
            drop(this.given_up.get_or_create(&to(destination)));
        }
        this
    }

    /// A request with so many messages ended like this.
    pub(super) fn ended(&self, destination: &str, messages: usize, settlement: &Settlement) {
        let how = match settlement {
            Settlement::Delivered => {
                self.delivered.get_or_create(&to(destination)).inc_by(messages as u64);
                return;
            }
            Settlement::Busy { .. } => "busy",
            Settlement::Failed { .. } => "failed",
            Settlement::Refused { .. } => "refused",
        };
        self.undelivered.get_or_create(&How { destination: destination.to_owned(), how }).inc();
    }

    /// So many messages were given up.
    pub(super) fn given_up(&self, destination: &str, messages: u64) {
        self.given_up.get_or_create(&to(destination)).inc_by(messages);
    }

    /// The page in Prometheus' text format. What waits is asked of the database; while that does not
    /// answer, the page is without it.
    pub(super) async fn page(&self, database: &Database) -> String {
        let backlog = database.backlog().await;
        self.waiting.clear();
        self.oldest_seconds.clear();
        if let Ok(backlog) = backlog {
            for destination in &self.destinations {
                self.waiting.get_or_create(&to(destination)).set(0);
                self.oldest_seconds.get_or_create(&to(destination)).set(0.0);
            }
            for waiting in backlog {
                self.waiting.get_or_create(&to(&waiting.destination)).set(waiting.messages);
                self.oldest_seconds.get_or_create(&to(&waiting.destination)).set(waiting.oldest_s);
            }
        }
        let mut page = String::new();
        match encode(&mut page, &self.registry) {
            Ok(()) => page,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

fn to(destination: &str) -> To {
    To { destination: destination.to_owned() }
}
