//! The worker as a service: load the model, wait for the services, work, drain.

use adapters::amqp::{self, Lane, Publisher};
use adapters::boxed;
use adapters::health::{Dependencies, Health};
use adapters::postgres::Database;
use adapters::retry::{RetryPolicy, retry_while};
use adapters::s3::Store;
use anyhow::Context;
use domain::FailureCode;
use settings::Settings;
use settings::alert_file::Usable;
use std::sync::Arc;
use std::time::Duration;

use crate::concurrency::Plan;
use crate::metrics::Metrics;
use crate::pipeline::{Breaker, JobProcessor, SlotPool, Stop};
use speech::Analyzer;

/// Longest that recording the last attempts that were requeued may take, and closing the connections.
const SETTLING: Duration = Duration::from_secs(5);

/// Runs a worker until `stop` is cancelled and its jobs are settled.
///
/// # Errors
/// When the alert file has no rule that can be used, the model can't be loaded, the health address is taken, or a service refuses (wrong
/// password, no privilege, no such bucket). Services that are unreachable are waited for, as are tables that are not
/// migrated yet.
#[boxed]
pub async fn run(mut settings: Settings, stop: Stop) -> anyhow::Result<()> {
    let Usable { mut rulebook, errors } = settings.alerts.usable()?;
    for rule in &rulebook.rules {
        for role in rule.roles().into_iter().filter(|role| !settings.analysis.score_roles.contains(role)) {
            tracing::warn!(rule = rule.name, %role, "the rule asks for a role that analysis.score_roles leaves out");
        }
    }
    let name = worker_name(&settings.worker.name);
    let metrics = Arc::new(Metrics::default());
    for error in &errors {
        tracing::error!(error, "a part of the alert file is set aside; the others apply");
    }
    metrics.alert_file_errors(errors.len());
    let health = Health::new(stop.taking.clone());
    let (address, counted) = (settings.worker.health_addr, metrics.clone());
    let address = health
        .clone()
        .serve(address, move || std::future::ready(counted.page()))
        .await
        .with_context(|| format!("can't listen at {address}; set `worker.health_addr` to a free address"))?;
    tracing::info!(worker = name, %address, "live; not ready yet");
    let plan = Plan::of(&settings);
    settings.postgres.max_connections = plan.connections;
    tracing::info!(
        callers = plan.model.callers,
        threads = plan.model.threads,
        slots = plan.slots,
        interactive = plan.interactive,
        prefetch = plan.prefetch,
        connections = plan.connections,
        "works on this much at the same time"
    );

    let loading = settings.clone();
    let analyzer = Arc::new(tokio::task::spawn_blocking(move || Analyzer::load(&loading.speech())).await??);
    for rule in settings.alerts.follow_model(&mut rulebook, analyzer.advised_alerts()) {
        let advised = analyzer.advised_alerts();
        tracing::info!(rule, ?advised, "the built-in alert rule follows model.json");
    }
    let store = Store::new(&settings.s3)?;
    let bucket = settings.s3.artifact_bucket().to_owned();
    let database = Database::lazy(&settings.postgres)?;
    let broker = Publisher::new(&settings.amqp);
    let services = async {
        tokio::try_join!(
            retry_while(RetryPolicy::ENDLESS, "postgres", || database.check_schema()),
            retry_while(RetryPolicy::ENDLESS, "s3", || store.ping(&bucket)),
            retry_while(RetryPolicy::ENDLESS, "rabbitmq", || broker.ready()),
        )
    };
    tokio::select! {
        refused = services => if let Err(failure) = refused {
            anyhow::bail!("{failure}\n  {}", failure.code.advice());
        },
        () = stop.taking.cancelled() => return Ok(()),
    }
    broker.close().await;

    let (rows, objects) = (database.clone(), store.clone());
    let breaker = Arc::new(Breaker::new(&settings, &name, rows.clone(), objects.clone(), metrics.clone()));
    refuse_broken_disk(&breaker).await?;
    let stores = (rows, objects);
    let processor = JobProcessor::new(&settings, analyzer, stores, rulebook, metrics, name, breaker.clone());
    let processor = Arc::new(processor);
    let model = settings.model.name.as_str();
    let pool = |lane: Lane, prefetch, slots| {
        let (stop, gate) = (stop.taking.clone(), breaker.gate());
        let leases = amqp::consume_while(&settings.amqp, &lane.of(model), prefetch, stop, gate);
        SlotPool::new(processor.clone(), leases.for_jobs_of(settings.worker.job_timeout()), slots)
    };
    let bulk = pool(Lane::Bulk, plan.prefetch, plan.slots);
    let interactive = pool(Lane::Interactive, plan.interactive, plan.interactive);
    let links = vec![bulk.link(), interactive.link()];
    breaker.stops(links.clone());
    let store = Some((store, bucket));
    health.started(Dependencies {
        database: database.clone(),
        store,
        links,
        publisher: None,
        trouble: Some(breaker.trouble()),
    });

    let work = async {
        tokio::join!(
            bulk.run(stop.clone()),
            interactive.run(stop.clone()),
            breaker.watch(&stop.taking),
            amqp::sort(&settings.amqp, model, stop.taking.clone())
        )
    };
    let deadline = Duration::from_secs(settings.worker.drain_timeout_s);
    let mut work = std::pin::pin!(work);
    tokio::select! {
        _ = &mut work => {}
        // After the deadline jobs are cancelled; they settle within moments.
        () = stop.enforce(deadline) => { let _ = work.await; }
    }
    settle_and_close(&breaker, &database).await;
    tracing::info!("drained");
    Ok(())
}

/// A temporary folder that can't be used fails every job.
async fn refuse_broken_disk(breaker: &Breaker) -> anyhow::Result<()> {
    match breaker.examine_disk().await {
        // A full one may have room again: then no job is taken until it has.
        Err(failure) if failure.code != FailureCode::WorkerNoSpace => {
            anyhow::bail!("{failure}\n  set `worker.temp_dir`, or TMPDIR, to a folder that the worker may write");
        }
        _ => Ok(()),
    }
}

/// The last of a worker's dealings with Postgres, each within its time.
async fn settle_and_close(breaker: &Breaker, database: &Database) {
    // What was requeued while jobs in flight were finished.
    if !matches!(tokio::time::timeout(SETTLING, breaker.settle_debts()).await, Ok(None)) {
        tracing::warn!("attempts that were requeued stay counted: the database could not be told");
    }
    // It waits for statements under way: of a host that is gone, for a quarter of an hour.
    if tokio::time::timeout(SETTLING, database.close()).await.is_err() {
        tracing::warn!("the connections to Postgres are left open: it does not answer");
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
