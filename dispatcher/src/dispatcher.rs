//! All couriers, the ear for news, and the sweep that closes what has gone quiet.

use adapters::amqp::Publisher;
use adapters::postgres::Database;
use adapters::webhook::Webhook;
use domain::alert::Rulebook;
use settings::Settings;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::courier::{Courier, Way};
use super::metrics::Metrics;

/// Between two looks for matters that have gone quiet.
const SWEEP: Duration = Duration::from_secs(15);
/// Between attempts to reach the database.
const AGAIN: Duration = Duration::from_secs(3);

/// Sends alerts. Any number of them may run side by side, here or on other machines.
pub struct Dispatcher {
    settings: Settings,
    rulebook: Rulebook,
    webhooks: Vec<Webhook>,
    pub(super) database: Database,
    pub(super) publisher: Publisher,
    pub(super) metrics: Arc<Metrics>,
}

impl Dispatcher {
    /// Reads the rules' file, and addresses and secrets by `variable` (the environment).
    ///
    /// # Errors
    /// Everything that is wrong with them, at once. No service is asked yet.
    pub fn open(settings: &Settings, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let rulebook = settings.alerts.rulebook()?;
        let timeout = Duration::from_secs(settings.dispatcher.timeout_s);
        let open = |destination| Webhook::open(destination, &variable, &settings.dispatcher.console_url, timeout);
        let (webhooks, wrong): (Vec<_>, Vec<_>) = rulebook.destinations.iter().map(open).partition(Result::is_ok);
        let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        let database = Database::lazy(&settings.postgres)?;
        let webhooks = webhooks.into_iter().filter_map(Result::ok).collect();
        let (publisher, metrics) = (Publisher::new(&settings.amqp), Arc::new(Metrics::of(&rulebook)));
        Ok(Self { settings: settings.clone(), rulebook, webhooks, database, publisher, metrics })
    }

    /// Sends until `stop`; requests in hand are finished. Services that are away are waited for.
    ///
    /// # Errors
    /// When a courier panics.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        if self.until_there(&stop).await.is_none() {
            return Ok(());
        }
        self.warn_of_strangers().await;
        let (bell, news) = watch::channel(());
        let (database, rulebook) = (self.database.clone(), self.rulebook.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(database.clone(), bell, stop.clone()));
        tasks.spawn(sweep(database.clone(), rulebook, stop.clone()));
        for courier in self.couriers() {
            tracing::info!(destination = courier.name(), "dispatching");
            tasks.spawn(courier.run(news.clone(), stop.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        database.close().await;
        Ok(())
    }

    /// Waits for the database and its tables. `None`: told to stop meanwhile.
    pub(super) async fn until_there(&self, stop: &CancellationToken) -> Option<()> {
        while let Err(failure) = self.database.check_schema().await {
            tracing::warn!(%failure, "waiting for Postgres");
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stop.cancelled() => return None,
            }
        }
        Some(())
    }

    /// Closes what has gone quiet, sends what may be sent now, and ends.
    ///
    /// # Errors
    /// When the database does not answer. Destinations that fail are no errors: they are tried later.
    pub async fn once(self) -> anyhow::Result<()> {
        self.database.check_schema().await?;
        self.database.resolve_quiet(&self.rulebook).await?;
        let mut tasks = JoinSet::new();
        for courier in self.couriers() {
            tasks.spawn(async move { courier.once().await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    fn couriers(self) -> Vec<Courier> {
        let exchange = Way::Exchange(self.publisher);
        let ways = self.webhooks.into_iter().map(|webhook| Way::Webhook(Box::new(webhook)));
        // A new name for each start: claims of an earlier one are not ours to settle.
        let owner = Uuid::now_v7().to_string();
        let courier = |way| Courier {
            database: self.database.clone(),
            way,
            owner: owner.clone(),
            settings: self.settings.dispatcher.clone(),
            metrics: self.metrics.clone(),
        };
        ways.chain([exchange]).map(courier).collect()
    }

    /// Messages for a destination that the file no longer names wait until it does.
    async fn warn_of_strangers(&self) {
        let Ok(deliveries) = self.database.deliveries().await else { return };
        for delivery in deliveries.iter().filter(|d| d.waiting > 0 && d.destination != domain::alert::AMQP) {
            if self.rulebook.destination(&delivery.destination).is_none() {
                let (destination, waiting) = (&delivery.destination, delivery.waiting);
                tracing::warn!(destination, waiting, "messages wait for a destination that is not in the rules' file");
            }
        }
    }
}

/// Rings the bell when messages were committed. Without it, couriers look every `dispatcher.poll_s`.
async fn listen(database: Database, bell: watch::Sender<()>, stop: CancellationToken) {
    let listening = async {
        loop {
            match database.outbox_news().await {
                Ok(mut news) => {
                    bell.send_replace(());
                    while let Ok(()) = news.next().await {
                        bell.send_replace(());
                    }
                }
                Err(failure) => tracing::debug!(%failure, "not listening for news; looking now and then"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
}

async fn sweep(database: Database, rulebook: Rulebook, stop: CancellationToken) {
    if rulebook.rules.iter().all(|rule| rule.resolve_after.is_none()) {
        return;
    }
    while !stop.is_cancelled() {
        match database.resolve_quiet(&rulebook).await {
            Ok(0) => {}
            Ok(closed) => tracing::info!(closed, "resolved: quiet since"),
            Err(failure) => tracing::warn!(%failure, "what has gone quiet can't be closed"),
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = stop.cancelled() => {}
        }
    }
}
