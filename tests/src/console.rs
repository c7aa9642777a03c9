//! A console for one test: served in this process on a free port, beside a fleet of its own.

use anyhow::{Context, Result};
use console::Serving;
use settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;

/// A console and the fleet behind it. Call [`Console::end`] to leave no traces.
pub struct Console {
    /// The fleet.
    pub fleet: Fleet,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    serving: Serving,
    stop: CancellationToken,
}

impl Console {
    /// A console with a worker behind it.
    ///
    /// # Errors
    /// When a service is missing.
    pub async fn start() -> Result<Self> {
        let mut console = Self::without_worker(|_| {}).await?;
        console.fleet.start_worker();
        console.worker_ready().await?;
        Ok(console)
    }

    /// A console with settings changed, and no worker yet.
    ///
    /// # Errors
    /// When a service is missing.
    pub async fn without_worker(change: impl FnOnce(&mut Settings)) -> Result<Self> {
        let mut fleet = Fleet::without_worker().await?;
        let settings = &mut fleet.trial.settings;
        settings.console.addr = ([127, 0, 0, 1], 0).into();
        settings.console.upload_prefix = format!("{}console", fleet.trial.keys);
        settings.console.requests_per_minute = 0;
        change(settings);
        let stop = CancellationToken::new();
        let serving = console::serve(settings.clone(), stop.clone()).await?;
        let url = format!("http://127.0.0.1:{}", serving.address.port());
        Ok(Self { fleet, url, serving, stop })
    }

    /// Waits until a worker takes interactive jobs.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn worker_ready(&self) -> Result<()> {
        let queue = format!("{}.jobs.interactive", self.fleet.trial.settings.amqp.prefix);
        for _ in 0..600 {
            let depths = adapters::amqp::depths(&self.fleet.trial.settings.amqp).await?;
            if depths.iter().any(|depth| depth.queue == queue && depth.consumers > 0) {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        anyhow::bail!("no worker within a minute")
    }

    /// A request's address.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Ends console and fleet, and removes what they made.
    ///
    /// # Errors
    /// When something refuses.
    pub async fn end(self) -> Result<()> {
        self.stop.cancel();
        self.serving.ended().await.context("the console ended with an error")?;
        self.fleet.end().await
    }
}
