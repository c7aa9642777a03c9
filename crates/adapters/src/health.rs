//! `GET /live`, `/ready` and `/metrics` of a program that stays up: ready names what is missing.

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

use crate::amqp::{Link, Publisher};
use crate::postgres::Database;
use crate::s3::Store;

/// Longest that a readiness check waits for one dependency.
const PATIENCE: Duration = Duration::from_secs(2);

/// What readiness asks. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

struct Shared {
    stopping: CancellationToken,
    dependencies: RwLock<Option<Dependencies>>,
}

/// What a program that has started depends on.
#[derive(Clone)]
pub struct Dependencies {
    /// Rows.
    pub database: Database,
    /// Objects, and the bucket that must be there.
    pub store: Option<(Store, String)>,
    /// Queues that jobs are taken from.
    pub links: Vec<watch::Receiver<Link>>,
    /// The way to the broker for what is published.
    pub publisher: Option<Publisher>,
}

impl Health {
    /// Live, but not ready before [`Self::started`], nor once `stopping` is cancelled.
    pub fn new(stopping: CancellationToken) -> Self {
        Self(Arc::new(Shared { stopping, dependencies: RwLock::new(None) }))
    }

    /// All is loaded, and the dependencies were there once.
    pub fn started(&self, dependencies: Dependencies) {
        *self.0.dependencies.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(dependencies);
    }

    /// Listens at `address`, and gives back where (port 0 takes a free one). `metrics` writes the page in
    /// Prometheus' text format.
    ///
    /// # Errors
    /// When the address can't be listened at.
    pub async fn serve<M, P>(self, address: SocketAddr, metrics: M) -> std::io::Result<SocketAddr>
    where
        M: Fn() -> P + Clone + Send + Sync + 'static,
        P: Future<Output = String> + Send,
    {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/live", get(async || "live\n"))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
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
        let Some((store, bucket)) = &dependencies.store else { return Ok(()) };
        tokio::time::timeout(PATIENCE, store.ping(bucket)).await.map_err(silent)?.map_err(|f| f.to_string())
    };
    let publisher = async {
        let Some(publisher) = &dependencies.publisher else { return Ok(()) };
        // While something is being published in vain, this waits in line.
        tokio::time::timeout(PATIENCE, publisher.ready()).await.map_err(silent)?.map_err(|f| f.to_string())?;
        match publisher.blocked() {
            Some(true) => Err("it takes no messages for want of memory or disk".to_owned()),
            _ => Ok(()),
        }
    };
    let (database, store, publisher) = tokio::join!(database, store, publisher);
    let link = dependencies.links.iter().find_map(|link| match &*link.borrow() {
        Link::Up => None,
        Link::Connecting { why } => Some(why.clone()),
    });
    let found = [("postgres", database.err()), ("s3", store.err()), ("rabbitmq", link.or(publisher.err()))];
    found.into_iter().filter_map(|(name, why)| Some((name, why?))).collect()
}
