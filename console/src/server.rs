//! The console as a service: bind, check who may come, answer, drain.

use anyhow::{Context, bail};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use settings::Settings;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Shared};
use crate::{api, auth, gradio, guard, pages};

/// Pause between attempts to reach the database at start.
const AGAIN: Duration = Duration::from_secs(2);
/// How long requests in hand get to finish.
const DRAIN: Duration = Duration::from_secs(10);

/// A console that answers.
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
    pub async fn ended(self) -> anyhow::Result<()> {
        self.task.await?
    }
}

/// Serves until `stop`; requests in hand are finished. Services that are away are waited for by each request.
///
/// # Errors
/// When the address is taken, or is none of loopback and nobody could log in.
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
    let task = tokio::spawn(async move {
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
        let mut serving = std::pin::pin!(serving.into_future());
        tokio::select! {
            ended = &mut serving => ended?,
            // Streams of events have no end of their own.
            () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
        }
        app.publisher.close().await;
        app.database.close().await;
        Ok(())
    });
    Ok(Serving { address, task })
}

/// At an address other than loopback, the console refuses to start until a user or a token exists.
async fn until_allowed(app: &App, stop: &CancellationToken) -> anyhow::Result<()> {
    if !app.settings.console.needs_login() {
        return Ok(());
    }
    loop {
        match app.database.has_access_control().await {
            Ok(true) => return Ok(()),
            Ok(false) => bail!(
                "console.addr is {}, and nobody could log in yet: add a user (`console user add NAME --role admin`) or a token first",
                app.settings.console.addr
            ),
            Err(failure) => tracing::warn!(%failure, "waiting for Postgres"),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = stop.cancelled() => bail!("stopped while waiting for Postgres"),
        }
    }
}

/// Everything there is, behind its guards. The outermost guard is named last.
fn routes(app: Shared) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(gradio::routes())
        .merge(pages::routes())
        .fallback(pages::not_found)
        .method_not_allowed_fallback(pages::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), pages::errors))
        .layer(from_fn_with_state(app.clone(), guard::rate_limit))
        .layer(from_fn(guard::same_origin))
        .layer(from_fn_with_state(app.clone(), auth::identify))
        .layer(from_fn_with_state(app.clone(), guard::known_host))
        .merge(pages::health())
        .layer(from_fn(guard::headers))
        .with_state(app)
}
