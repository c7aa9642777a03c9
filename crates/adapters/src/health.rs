//! `GET /live`, `/ready` and `/metrics` of a service. `/ready` names the dependencies that are missing.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::amqp::{Link, Publisher};
use crate::boxed;
use crate::postgres::Database;
use crate::s3::Store;

/// Longest that a readiness check waits for one dependency.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest that [`check`] waits for `/ready`, which pings several dependencies at once.
const CHECK_TIMEOUT: Duration = Duration::from_secs(4);

/// The state behind the pages. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

/// Writes the page of metrics.
type Metrics = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

struct Shared {
    stopping: CancellationToken,
    dependencies: RwLock<Option<Dependencies>>,
}

/// A service that refuses every job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// As `/ready` calls it: `postgres`, `s3`, `disk`.
    pub service: &'static str,
    /// Why, in a sentence.
    pub why: String,
}

/// The services that a program needs to work.
#[derive(Clone)]
pub struct Dependencies {
    /// Postgres.
    pub database: Database,
    /// S3, and the bucket that must be there.
    pub store: Option<(Store, String)>,
    /// Consumers of the queues.
    pub links: Vec<watch::Receiver<Link>>,
    /// The publisher, where the program has one.
    pub publisher: Option<Publisher>,
    /// Which service refuses every job, where the program has jobs.
    pub trouble: Option<watch::Receiver<Option<Trouble>>>,
}

impl Health {
    /// Live at once; not ready before [`Self::started`], nor once `stopping` is cancelled.
    pub fn new(stopping: CancellationToken) -> Self {
        Self(Arc::new(Shared { stopping, dependencies: RwLock::new(None) }))
    }

    /// From now on readiness depends on these services.
    pub fn started(&self, dependencies: Dependencies) {
        *self.0.dependencies.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(dependencies);
    }

    /// Serves the pages at `address` (port 0: a free one), and returns the address. `metrics` writes its page in
    /// Prometheus' text format.
    ///
    /// # Errors
    /// When the address is taken or not allowed.
    pub async fn serve<M, P>(self, address: SocketAddr, metrics: M) -> std::io::Result<SocketAddr>
    where
        M: Fn() -> P + Send + Sync + 'static,
        P: Future<Output = String> + Send + 'static,
    {
        self.serve_pages(address, Arc::new(move || metrics().boxed())).await
    }

    #[boxed]
    async fn serve_pages(self, address: SocketAddr, metrics: Metrics) -> std::io::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/live", get(async || "live\n"))
            .route("/ready", get(ready))
            .route("/metrics", get(move || metrics()))
            .with_state(self);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(address)
    }
}

/// Asks the program that serves these pages at `address` whether it is ready: the health check of a container without a
/// shell. An unspecified address, such as `0.0.0.0:9631`, is asked on loopback.
///
/// # Errors
/// What is missing, or why there is no answer, as a sentence.
#[boxed]
pub async fn check(mut address: SocketAddr) -> Result<(), String> {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let ask = async {
        let uri = format!("http://{address}/ready").parse().map_err(|_| "no valid address".to_owned())?;
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = client.get(uri).await.map_err(|e| crate::cause::innermost(&e).to_string())?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
        if status.is_success() { Ok(()) } else { Err(String::from_utf8_lossy(&body).into_owned()) }
    };
    let outcome = tokio::time::timeout(CHECK_TIMEOUT, ask).await;
    outcome
        .unwrap_or_else(|_| Err("no answer in 4 s".to_owned()))
        .map_err(|why| format!("{address} is not ready: {why}"))
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
    let no_answer = |_| "no answer in 2 s".to_owned();
    let database = async {
        tokio::time::timeout(PING_TIMEOUT, dependencies.database.ping())
            .await
            .map_err(no_answer)?
            .map_err(|f| f.to_string())
    };
    let store = async {
        let Some((store, bucket)) = &dependencies.store else { return Ok(()) };
        tokio::time::timeout(PING_TIMEOUT, store.ping(bucket)).await.map_err(no_answer)?.map_err(|f| f.to_string())
    };
    let publisher = async {
        let Some(publisher) = &dependencies.publisher else { return Ok(()) };
        tokio::time::timeout(PING_TIMEOUT, publisher.accepts()).await.map_err(no_answer)?.map_err(|f| f.to_string())
    };
    let (database, store, publisher) = tokio::join!(database, store, publisher);
    let link = dependencies.links.iter().find_map(|link| match &*link.borrow() {
        Link::Up | Link::Paused => None,
        Link::Connecting { why } => Some(why.clone()),
    });
    let found = [("postgres", database.err()), ("s3", store.err()), ("rabbitmq", link.or(publisher.err()))];
    let refused = dependencies.trouble.as_ref().and_then(|trouble| trouble.borrow().clone());
    let refused = refused.map(|Trouble { service, why }| (service, why));
    found.into_iter().filter_map(|(name, why)| Some((name, why?))).chain(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_still_loads_is_not_ready_and_says_why() {
        let health = Health::new(CancellationToken::new());
        let address =
            health.serve((Ipv4Addr::UNSPECIFIED, 0).into(), async || String::new()).await.expect("a free port");
        let why = check(address).await.expect_err("nothing has started");
        assert!(why.contains("still loading"), "{why}");
    }

    #[tokio::test]
    async fn no_program_is_not_ready() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        assert!(check(address).await.expect_err("nothing listens").contains("not ready"));
    }
}
