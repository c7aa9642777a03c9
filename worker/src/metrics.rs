//! The worker's metrics, as Prometheus reads them from `/metrics`. A gauge that has drained reports 0; it does not
//! disappear.

use adapters::amqp::Lane;
use domain::report::{AudioFacts, Timings};
use domain::{FailureCode, Warning, WarningCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// Seconds: from a short clip's fetch to an hour of audio.
const BUCKETS: [f64; 11] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLane {
    lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStage {
    stage: &'static str,
}

/// The counters of one worker.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    done: Counter,
    failed: Family<ByCode, Counter>,
    retried: Family<ByCode, Counter>,
    warnings: Family<ByCode, Counter>,
    leases_lost: Family<ByLane, Counter>,
    in_flight: Gauge,
    paused: Gauge,
    alert_file_errors: Gauge,
    audio_seconds: Counter<f64, AtomicU64>,
    seconds: Family<ByStage, Histogram>,
}

/// Counts a job as in flight while it lives.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut this = Self {
            registry: Registry::with_prefix("emofleet_worker"),
            done: Counter::default(),
            failed: Family::default(),
            retried: Family::default(),
            warnings: Family::default(),
            leases_lost: Family::default(),
            in_flight: Gauge::default(),
            paused: Gauge::default(),
            alert_file_errors: Gauge::default(),
            audio_seconds: Counter::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        let registry = &mut this.registry;
        registry.register("jobs_done", "Jobs recorded as done", this.done.clone());
        registry.register(
            "jobs_failed",
            "Jobs that ended without a result, by failure code; again for each message of the same job",
            this.failed.clone(),
        );
        registry.register("jobs_retried", "Jobs to be retried, by failure code", this.retried.clone());
        registry.register("warnings", "Warnings of analysed recordings, by code", this.warnings.clone());
        for code in WarningCode::ALL {
            drop(this.warnings.get_or_create(&ByCode { code: code.label() }));
        }
        registry.register(
            "leases_lost",
            "Jobs that the broker took back while in flight, by lane",
            this.leases_lost.clone(),
        );
        for lane in [Lane::Bulk, Lane::Interactive] {
            drop(this.leases_lost.get_or_create(&ByLane { lane: lane.label() }));
        }
        registry.register("jobs_in_flight", "Jobs in flight now", this.in_flight.clone());
        registry.register("paused", "1 while no jobs are taken, because a service refuses all", this.paused.clone());
        registry.register(
            "alert_file_errors",
            "Errors of the alert file; the rules that have them are set aside",
            this.alert_file_errors.clone(),
        );
        registry.register("audio_seconds", "Seconds of audio analysed", this.audio_seconds.clone());
        registry.register("stage_seconds", "Seconds a job spent in each stage", this.seconds.clone());
        this
    }
}

impl Metrics {
    /// Errors of the alert file at the start.
    pub fn alert_file_errors(&self, errors: usize) {
        self.alert_file_errors.set(i64::try_from(errors).unwrap_or(i64::MAX));
    }

    /// A job is done.
    pub fn done(&self) {
        self.done.inc();
    }

    /// A job failed for good.
    pub fn failed(&self, code: FailureCode) {
        self.failed.get_or_create(&ByCode { code: code.code() }).inc();
    }

    /// A job will be retried.
    pub fn retried(&self, code: FailureCode) {
        self.retried.get_or_create(&ByCode { code: code.code() }).inc();
    }

    /// What makes a result worth less.
    pub fn warned(&self, warnings: &[Warning]) {
        for warning in warnings {
            self.warnings.get_or_create(&ByCode { code: warning.code.label() }).inc();
        }
    }

    /// The broker took a job back and delivers it to another worker.
    pub fn lease_lost(&self, lane: Lane) {
        self.leases_lost.get_or_create(&ByLane { lane: lane.label() }).inc();
    }

    /// A job is in flight until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Whether no jobs are taken, because a service refuses all of them.
    pub fn paused(&self, paused: bool) {
        self.paused.set(i64::from(paused));
    }

    /// A recording was analysed.
    pub fn analyzed(&self, audio: &AudioFacts, timings: &Timings) {
        self.audio_seconds.inc_by(audio.duration_s);
        for (stage, ms) in [
            ("queued", timings.queued_ms),
            ("fetch", timings.fetch_ms),
            ("preprocess", timings.preprocess_ms),
            ("decode", timings.decode_ms),
            ("resample", timings.resample_ms),
            ("vad", timings.vad_ms),
            ("infer", timings.infer_ms),
            ("model", timings.model_ms),
            ("upload", timings.upload_ms),
            ("total", timings.total_ms),
        ] {
            self.seconds.get_or_create(&ByStage { stage }).observe(ms / 1000.0);
        }
    }

    /// The page in Prometheus' text format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        match encode(&mut page, &self.registry) {
            Ok(()) => page,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drained_gauge_and_an_unused_counter_report_zero() {
        let metrics = Metrics::default();
        drop(metrics.in_flight());
        metrics.failed(FailureCode::AudioEmpty);
        metrics.lease_lost(Lane::Bulk);
        let page = metrics.page();
        assert!(page.contains("emofleet_worker_jobs_in_flight 0"), "{page}");
        assert!(page.contains("emofleet_worker_leases_lost_total{lane=\"bulk\"} 1"), "{page}");
        assert!(page.contains("emofleet_worker_leases_lost_total{lane=\"interactive\"} 0"), "{page}");
        assert!(page.contains("emofleet_worker_jobs_failed_total{code=\"audio.empty\"} 1"), "{page}");
    }

    #[test]
    fn each_metric_of_a_worker_is_documented() {
        let documented = include_str!("../../docs/monitoring.md");
        let metrics = Metrics::default();
        metrics.failed(FailureCode::AudioEmpty);
        metrics.retried(FailureCode::AudioEmpty);
        metrics.analyzed(&AudioFacts::default(), &Timings::default());
        let page = metrics.page();
        for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(documented.contains(&format!("`{name}")), "{name} is missing in docs/monitoring.md");
        }
        assert_eq!(page.matches("# TYPE ").count(), 10, "{page}");
    }
}
