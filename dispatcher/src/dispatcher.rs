//! All delivery tasks, the listener that wakes them, and the task that resolves quiet groups.

use adapters::amqp::Publisher;
use adapters::boxed;
use adapters::postgres::Database;
use adapters::reconcile::{Reconciled, Reconciler};
use adapters::retry::{RetryPolicy, retry_while};
use adapters::webhook::Webhook;
use domain::alert::{AMQP, Rulebook};
use settings::Settings;
use settings::alert_file::Usable;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::delivery_task::DeliveryTask;
use super::metrics::Metrics;
use super::transport::{ExchangeTransport, WebhookTransport};

/// Between two searches for quiet groups.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(15);
/// Between attempts to reach the database.
const DATABASE_PAUSE: Duration = Duration::from_secs(3);

/// Delivers alerts. Any number of dispatchers may run, on this machine or on others.
pub struct Dispatcher {
    settings: Settings,
    rulebook: Rulebook,
    webhooks: Vec<Webhook>,
    pub(super) database: Database,
    pub(super) publisher: Publisher,
    pub(super) metrics: Arc<Metrics>,
}

impl Dispatcher {
    /// Reads the alert file, and URLs and secrets with `variable` (the environment).
    ///
    /// # Errors
    /// All that is wrong with URLs and secrets, at once; an alert file without a rule that can be used. No service is
    /// connected to yet.
    pub fn open(settings: &Settings, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let Usable { rulebook, errors: set_aside } = settings.alerts.usable()?;
        for error in &set_aside {
            tracing::error!(error, "a part of the alert file is set aside; the others apply");
        }
        let timeout = Duration::from_secs(settings.dispatcher.timeout_s);
        let open = |destination| Webhook::open(destination, &variable, &settings.dispatcher.console_url, timeout);
        let (webhooks, errors): (Vec<_>, Vec<_>) = rulebook.destinations.iter().map(open).partition(Result::is_ok);
        let errors: Vec<String> = errors.into_iter().filter_map(Result::err).collect();
        anyhow::ensure!(errors.is_empty(), "{}", errors.join("\n"));
        let database = Database::lazy(&settings.postgres)?;
        let webhooks = webhooks.into_iter().filter_map(Result::ok).collect();
        let (publisher, metrics) = (Publisher::new(&settings.amqp), Arc::new(Metrics::new(&rulebook, set_aside.len())));
        Ok(Self { settings: settings.clone(), rulebook, webhooks, database, publisher, metrics })
    }

    /// Delivers until `stop`; requests in progress are finished.
    ///
    /// # Errors
    /// When a delivery task panics.
    #[boxed]
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        self.warn_of_unknown_destinations().await;
        let (wake, woken) = watch::channel(());
        let (database, rulebook) = (self.database.clone(), self.rulebook.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(database.clone(), wake, stop.clone()));
        tasks.spawn(resolve(database.clone(), rulebook, stop.clone()));
        tasks.spawn(reconcile(database.clone(), self.settings.clone(), stop.clone()));
        let (exchange, webhooks) = self.delivery_tasks();
        tasks.spawn(exchange.run(woken.clone(), stop.clone()));
        for task in webhooks {
            tasks.spawn(task.run(woken.clone(), stop.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        database.close().await;
        Ok(())
    }

    /// Waits for Postgres and its tables. RabbitMQ is not waited for, since webhooks do not need it.
    ///
    /// # Errors
    /// When one of them refuses, with advice.
    pub(super) async fn wait_for_services(&self) -> anyhow::Result<()> {
        let exchange = async {
            match self.publisher.ready().await {
                Err(failure) if failure.is_unreachable() => {
                    tracing::warn!(%failure, "alerts for the exchange wait for RabbitMQ");
                    Ok(())
                }
                outcome => outcome,
            }
        };
        let database = retry_while(RetryPolicy::ENDLESS, "postgres", || self.database.check_schema());
        match tokio::try_join!(database, exchange) {
            Ok(((), ())) => Ok(()),
            Err(failure) => anyhow::bail!("{failure}\n  {}", failure.code.advice()),
        }
    }

    /// Resolves quiet groups, delivers what may be sent now, and ends.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`. A destination that fails is no error: it is retried later.
    #[boxed]
    pub async fn once(self) -> anyhow::Result<()> {
        self.database.check_schema().await?;
        self.database.resolve_quiet(&self.rulebook).await?;
        let (exchange, webhooks) = self.delivery_tasks();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { exchange.once().await });
        for task in webhooks {
            tasks.spawn(async move { task.once().await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// One task for the exchange, and one for each webhook.
    fn delivery_tasks(self) -> (DeliveryTask<ExchangeTransport>, Vec<DeliveryTask<WebhookTransport>>) {
        let settings = self.settings.dispatcher;
        // A new name for each start: the claims of an earlier one are not ours to record.
        let owner = Uuid::now_v7().to_string();
        let (database, metrics, poll) = (self.database, self.metrics, Duration::from_secs(settings.poll_s));
        let webhook = |webhook| DeliveryTask {
            database: database.clone(),
            transport: WebhookTransport { webhook, settings: settings.clone() },
            owner: owner.clone(),
            poll,
            metrics: metrics.clone(),
        };
        let webhooks = self.webhooks.into_iter().map(webhook).collect();
        (DeliveryTask { database, transport: ExchangeTransport(self.publisher), owner, poll, metrics }, webhooks)
    }

    /// Messages for a destination that the alert file no longer has wait until it has it again.
    async fn warn_of_unknown_destinations(&self) {
        let Ok(statuses) = self.database.destination_status().await else { return };
        for status in statuses.iter().filter(|status| status.waiting > 0 && status.destination != AMQP) {
            if self.rulebook.destination(&status.destination).is_none() {
                let (destination, waiting) = (&status.destination, status.waiting);
                tracing::warn!(destination, waiting, "messages wait for a destination that is not in the alert file");
            }
        }
    }
}

/// Wakes the delivery tasks when messages were committed. Without it, they claim every `dispatcher.poll_s`.
async fn listen(database: Database, wake: watch::Sender<()>, stop: CancellationToken) {
    let listening = async {
        loop {
            match database.listen_to_outbox().await {
                Ok(mut listener) => {
                    wake.send_replace(());
                    while let Ok(()) = listener.next().await {
                        wake.send_replace(());
                    }
                }
                Err(failure) => tracing::debug!(%failure, "no notifications of new messages; polling"),
            }
            tokio::time::sleep(DATABASE_PAUSE).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
}

/// Compares open jobs with the queues every `dispatcher.reconcile_s`.
async fn reconcile(database: Database, settings: Settings, stop: CancellationToken) {
    let (every, silent_for) = (settings.dispatcher.reconcile_s, settings.dispatcher.reconcile_after_s);
    if every == 0 {
        return;
    }
    // A connection of its own: alerts don't wait for it.
    let publisher = Publisher::new(&settings.amqp);
    let reconciler = Reconciler::new(database, publisher.clone(), &settings.amqp, settings.worker.job_timeout());
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(every)) => {}
            () = stop.cancelled() => break,
        }
        let comparison = tokio::select! {
            comparison = reconciler.run(Duration::from_secs(silent_for)) => comparison,
            () = stop.cancelled() => break,
        };
        match comparison {
            Ok(Reconciled { set_aside: 0, published: 0, unreadable: 0, .. }) => {}
            Ok(Reconciled { set_aside, published, unreadable, .. }) => {
                tracing::info!(set_aside, published, unreadable, "compared open jobs with the queues");
            }
            Err(failure) => tracing::warn!(%failure, "open jobs can't be compared with the queues; trying again later"),
        }
    }
    publisher.close().await;
}

/// Resolves groups that had no alert for their rule's `resolve_after`.
async fn resolve(database: Database, rulebook: Rulebook, stop: CancellationToken) {
    if rulebook.rules.iter().all(|rule| rule.resolve_after.is_none()) {
        return;
    }
    while !stop.is_cancelled() {
        match database.resolve_quiet(&rulebook).await {
            Ok(0) => {}
            Ok(groups) => tracing::info!(groups, "resolved"),
            Err(failure) => tracing::warn!(%failure, "quiet groups can't be resolved; retrying"),
        }
        tokio::select! {
            () = tokio::time::sleep(RESOLVE_INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}
