//! The console as a service: check that a login is possible, listen, answer, drain.

use adapters::boxed;
use adapters::retry::{RetryPolicy, retry_while_unless};
use anyhow::{Context, bail};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use settings::Settings;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Shared};
use crate::{api, auth, gradio, guard, listen, pages};

/// How long requests in progress, and after them submissions whose senders hung up, get to finish.
const DRAIN: Duration = Duration::from_secs(10);

/// A running console.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Serving {
    /// Waits for its end.
    ///
    /// # Errors
    /// When the listener failed.
    #[boxed]
    pub async fn ended(self) -> anyhow::Result<()> {
        self.task.await?
    }
}

/// Serves until `stop`; requests in progress are finished. A service that is away makes requests fail, not the start,
/// except that Postgres is waited for where a login is needed.
///
/// # Errors
/// When the address is taken, or a login is needed and there is no user and no token; when Postgres refuses.
#[boxed]
pub async fn serve(settings: Settings, stop: CancellationToken) -> anyhow::Result<Serving> {
    let app = App::open(settings)?;
    until_allowed(&app, &stop).await?;
    let address = app.settings.console.addr;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen at {address}; set `console.addr` to a free address"))?;
    let address = listener.local_addr()?;
    let routes = routes(app.clone());
    tokio::spawn({
        let (app, stop) = (app.clone(), stop.clone());
        async move { app.hub.run(app.database.clone(), stop).await }
    });
    tokio::spawn({
        let (app, stop) = (app.clone(), stop.clone());
        async move { app.hub.listen(app.database.clone(), stop).await }
    });
    tokio::spawn({
        let (parked, stop) = (app.parked.clone(), stop.clone());
        async move { parked.sweep(gradio::SWEEP, stop).await }
    });
    let task = tokio::spawn(async move {
        let head = Duration::from_secs(app.settings.console.request_timeout_s);
        let mut serving = std::pin::pin!(listen::serve(listener, routes, head, stop.clone()));
        tokio::select! {
            () = &mut serving => {}
            // Streams of events do not end by themselves.
            () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
        }
        app.submitting.close();
        if tokio::time::timeout(DRAIN, app.submitting.wait()).await.is_err() {
            tracing::warn!("stopped before all submissions were stored and published");
        } else {
            // Else a message that the broker does not take would hold it up.
            app.publisher.close().await;
        }
        app.database.close().await;
        Ok(())
    });
    Ok(Serving { address, task })
}

/// Where a login is needed, the console refuses to start until a user or a token exists.
async fn until_allowed(app: &App, stop: &CancellationToken) -> anyhow::Result<()> {
    let console = &app.settings.console;
    if !console.needs_login() {
        if !console.hosts.is_empty() {
            let hosts = console.hosts.join(", ");
            tracing::warn!(hosts, "console.login is `never`: whoever reaches it under these names has all rights");
        }
        return Ok(());
    }
    let ask = || app.database.has_access_control();
    match retry_while_unless(stop, RetryPolicy::ENDLESS, "postgres", ask).await {
        Ok(true) => Ok(()),
        Ok(false) => bail!(
            "the console needs a login at {}, and there is no user and no token: add one first (`console user add NAME --role admin`)",
            app.settings.console.addr
        ),
        Err(failure) => bail!("{failure}\n  {}", failure.code.advice()),
    }
}

/// All routes, behind their guards. The outermost guard is named last.
fn routes(app: Shared) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(gradio::routes())
        .merge(pages::routes())
        .fallback(pages::not_found)
        .method_not_allowed_fallback(pages::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), guard::rate_limit))
        .layer(from_fn(guard::same_origin))
        .layer(from_fn_with_state(app.clone(), auth::identify))
        .layer(from_fn_with_state(app.clone(), guard::known_host))
        // Around the guards: their refusals are pages for browsers too.
        .layer(from_fn(guard::drain_refused))
        .layer(from_fn_with_state(app.clone(), pages::errors))
        .merge(pages::health())
        .layer(from_fn_with_state(app.clone(), guard::headers))
        .with_state(app)
}
