//! `GET /live`, `/ready` and `/metrics`: ready names what is missing.

use adapters::amqp::Link;
use adapters::postgres::Database;
use adapters::s3::Store;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Longest that a readiness check waits for one dependency.
const PATIENCE: Duration = Duration::from_secs(2);

/// What readiness asks.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

struct Shared {
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
    dependencies: RwLock<Option<Dependencies>>,
}

/// What a worker that has started depends on.
#[derive(Clone)]
pub struct Dependencies {
    /// Rows.
    pub database: Database,
    /// Recordings.
    pub store: Store,
    /// Bucket of the artifacts.
    pub bucket: String,
    /// One per lane.
    pub links: Vec<watch::Receiver<Link>>,
}

impl Health {
    /// Live, but not ready before [`Self::started`].
    pub fn new(metrics: Arc<Metrics>, stopping: CancellationToken) -> Self {
        Self(Arc::new(Shared { metrics, stopping, dependencies: RwLock::new(None) }))
    }

    /// The model is warm and the dependencies were there once.
    pub fn started(&self, dependencies: Dependencies) {
        *self.0.dependencies.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(dependencies);
    }

    /// Listens at `address`; gives back where (port 0 takes a free one).
    ///
    /// # Errors
    /// When the address can't be listened at.
    pub async fn serve(self, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        use anyhow::Context as _;
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("can't listen at {address}; set `worker.health_addr` to a free address"))?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/live", get(async || "live\n"))
            .route("/ready", get(ready))
            .route("/metrics", get(async |State(health): State<Self>| health.0.metrics.page()))
            .with_state(self);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(address)
    }
}

async fn ready(State(Health(shared)): State<Health>) -> (StatusCode, Json<serde_json::Value>) {
    let dependencies = shared.dependencies.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let mut missing = match dependencies {
        Some(dependencies) => absent(&dependencies).await,
        None => BTreeMap::from([("start", "still loading, or waiting for a service; see the log".to_owned())]),
    };
    if shared.stopping.is_cancelled() {
        missing.insert("drain", "stopping".to_owned());
    }
    let code = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": missing.is_empty(), "missing": missing })))
}

async fn absent(dependencies: &Dependencies) -> BTreeMap<&'static str, String> {
    let silent = |_| "no answer in 2 s".to_owned();
    let database = async {
        tokio::time::timeout(PATIENCE, dependencies.database.ping()).await.map_err(silent)?.map_err(|f| f.to_string())
    };
    let store = async {
        let ping = dependencies.store.ping(&dependencies.bucket);
        tokio::time::timeout(PATIENCE, ping).await.map_err(silent)?.map_err(|f| f.to_string())
    };
    let (database, store) = tokio::join!(database, store);
    let broker = dependencies.links.iter().find_map(|link| match &*link.borrow() {
        Link::Up => None,
        Link::Connecting { why } => Some(why.clone()),
    });
    let found = [("postgres", database.err()), ("s3", store.err()), ("rabbitmq", broker)];
    found.into_iter().filter_map(|(name, why)| Some((name, why?))).collect()
}
