//! A watcher in the test's process.

use adapters::boxed;
use adapters::retry::RetryPolicy;
use anyhow::Result;
use producer::ProducerError;
use producer::meter::Meter;
use producer::watch::{WatchArgs, WatchSummary, watch};
use settings::Settings;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::trial::Trial;

/// A watcher that runs until it is stopped.
pub struct Watching {
    stop: CancellationToken,
    task: JoinHandle<Result<WatchSummary, ProducerError>>,
}

impl Watching {
    /// Starts to watch.
    pub fn start(settings: &Settings, args: &WatchArgs) -> Self {
        let (settings, args, stop) = (settings.clone(), args.clone(), CancellationToken::new());
        let until = stop.clone();
        let task =
            tokio::spawn(async move { watch(&settings, &args, RetryPolicy::ENDLESS, Meter::silent(), until).await });
        Self { stop, task }
    }

    /// Stops as a signal does, and returns what was done.
    ///
    /// # Errors
    /// What the watcher ended with.
    #[boxed]
    pub async fn stop(self) -> Result<WatchSummary> {
        self.stop.cancel();
        Ok(self.task.await??)
    }
}

/// The arguments of one look at the trial's own keys, which need not rest.
pub fn source(trial: &Trial) -> WatchArgs {
    let place = format!("s3://{}/{}", trial.settings.s3.bucket, trial.keys);
    WatchArgs { once: true, rest: Some(Duration::ZERO), grace: Some(Duration::ZERO), ..WatchArgs::of(place) }
}

/// Looks once.
///
/// # Errors
/// What the watcher ended with.
#[boxed]
pub async fn once(settings: &Settings, args: &WatchArgs) -> Result<WatchSummary, ProducerError> {
    watch(settings, args, RetryPolicy::NEVER, Meter::silent(), CancellationToken::new()).await
}
