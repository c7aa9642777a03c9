//! The worker as a service: load, wait for the services, work, drain.

use adapters::amqp::{self, Lane};
use adapters::health::{Dependencies, Health};
use adapters::postgres::Database;
use adapters::s3::Store;
use anyhow::Context;
use domain::Failure;
use settings::Settings;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::pipeline::{Intake, Stop, Workshop};
use speech::Analyzer;

/// Pages wait for one recording at a time; the bulk has the other slots.
const INTERACTIVE_SLOTS: u16 = 1;

/// Runs a worker until `stop` says so and its jobs are settled.
///
/// # Errors
/// When the alert rules are wrong, the model can't be loaded or the health address is taken. Services that are away are
/// waited for, not errors.
pub async fn run(settings: Settings, stop: Stop) -> anyhow::Result<()> {
    let rulebook = settings.alerts.rulebook()?;
    for rule in &rulebook.rules {
        for role in rule.roles().into_iter().filter(|role| !settings.analysis.score_roles.contains(role)) {
            tracing::warn!(rule = rule.name, %role, "the rule asks for a role that analysis.score_roles leaves out");
        }
    }
    let name = worker_name(&settings.worker.name);
    let metrics = Arc::new(Metrics::default());
    let health = Health::new(stop.taking.clone());
    let (address, counted) = (settings.worker.health_addr, metrics.clone());
    let address = health
        .clone()
        .serve(address, move || std::future::ready(counted.page()))
        .await
        .with_context(|| format!("can't listen at {address}; set `worker.health_addr` to a free address"))?;
    tracing::info!(worker = name, %address, "live; not ready yet");

    let loading = settings.clone();
    let analyzer = Arc::new(tokio::task::spawn_blocking(move || Analyzer::load(&loading.speech())).await??);
    let store = Store::new(&settings.s3)?;
    let bucket = settings.s3.artifact_bucket().to_owned();
    let database = Database::lazy(&settings.postgres)?;
    let services = async {
        until_there("postgres", &stop.taking, || database.check_schema()).await?;
        until_there("s3", &stop.taking, || store.ping(&bucket)).await
    };
    if services.await.is_none() {
        return Ok(());
    }

    let (rows, objects) = (database.clone(), store.clone());
    let workshop = Arc::new(Workshop::open(&settings, analyzer, rows, objects, rulebook, metrics, name));
    let intake = |lane, prefetch, slots| {
        let leases = amqp::consume(&settings.amqp, lane, prefetch, stop.taking.clone());
        Intake::new(workshop.clone(), leases, slots)
    };
    let bulk = intake(Lane::Bulk, settings.amqp.prefetch, settings.worker.slots);
    let interactive = intake(Lane::Interactive, INTERACTIVE_SLOTS, INTERACTIVE_SLOTS);
    let links = vec![bulk.link(), interactive.link()];
    let store = Some((store, bucket));
    health.started(Dependencies { database: database.clone(), store, links, publisher: None });

    let work = async { tokio::join!(bulk.run(stop.clone()), interactive.run(stop.clone())) };
    let deadline = Duration::from_secs(settings.worker.drain_timeout_s);
    let mut work = std::pin::pin!(work);
    tokio::select! {
        _ = &mut work => {}
        // After the deadline jobs are told to end; they settle within moments.
        () = stop.enforce(deadline) => { let _ = work.await; }
    }
    database.close().await;
    tracing::info!("drained");
    Ok(())
}

/// Tries a service until it answers; says what it waits for. `None`: told to stop meanwhile.
async fn until_there<F>(what: &str, stop: &CancellationToken, mut check: impl FnMut() -> F) -> Option<()>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut backoff = amqp::Backoff::new(Duration::from_secs(5));
    loop {
        match check().await {
            Ok(()) => return Some(()),
            Err(failure) => tracing::warn!(service = what, %failure, advice = failure.code.advice(), "waiting"),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            () = stop.cancelled() => return None,
        }
    }
}

fn worker_name(configured: &str) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "worker" } else { host }, std::process::id())
}
