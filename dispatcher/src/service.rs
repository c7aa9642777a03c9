//! The dispatcher as a service: health endpoint, wait for the database, deliver, shut down.

use adapters::health::{Dependencies, Health};
use anyhow::Context;
use settings::Settings;
use tokio_util::sync::CancellationToken;

use super::Dispatcher;

/// Runs a dispatcher with its health endpoint at `dispatcher.health_addr`, until `stop`.
///
/// # Errors
/// When the alert file, a URL or a secret is not valid, or the health address is in use. A service that refuses is an
/// error too. Services that can't be reached are waited for.
pub async fn serve(
    settings: &Settings,
    variable: impl Fn(&str) -> Option<String>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let dispatcher = Dispatcher::open(settings, variable)?;
    let health = Health::new(stop.clone());
    let (metrics, database) = (dispatcher.metrics.clone(), dispatcher.database.clone());
    let page = move || {
        let (metrics, database) = (metrics.clone(), database.clone());
        async move { metrics.page(&database).await }
    };
    let address = settings.dispatcher.health_addr;
    let address = health
        .clone()
        .serve(address, page)
        .await
        .with_context(|| format!("can't listen at {address}; set `dispatcher.health_addr` to a free address"))?;
    tracing::info!(%address, "live; not ready yet");
    tokio::select! {
        ready = dispatcher.wait_for_services() => ready?,
        () = stop.cancelled() => return Ok(()),
    }
    health.started(Dependencies {
        database: dispatcher.database.clone(),
        store: None,
        links: Vec::new(),
        publisher: Some(dispatcher.publisher.clone()),
        trouble: None,
    });
    dispatcher.run(stop).await
}
