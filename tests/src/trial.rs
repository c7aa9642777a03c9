//! Names for one test on the shared services: its own queues, keys and database.

use adapters::amqp::{JobQueue, Lane, Topology, consume};
use adapters::boxed;
use anyhow::{Context, Result};
use domain::Job;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use secrecy::{ExposeSecret, SecretString};
use settings::Settings;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Models of the jobs that tests make without a fleet.
const MODELS: [&str; 3] = ["m", "small", "emofleet-small"];

/// Settings that share nothing with any other test. Call [`Trial::end`] to remove queues, objects and database.
#[derive(Debug)]
pub struct Trial {
    /// The stack's settings, with a queue prefix, artifact prefix and database of their own.
    pub settings: Settings,
    /// Prefix for the test's object keys; ends in `/`.
    pub keys: String,
    name: String,
}

impl Trial {
    /// Names for a new trial. Nothing is created before it is used.
    ///
    /// # Errors
    /// When the environment does not name the services.
    pub fn new() -> Result<Self> {
        let missing = "the tests need the services: run ./test.sh, or stack/up.sh and `. .stack/env`";
        std::env::var("EMOFLEET__AMQP__URL").context(missing)?;
        let mut settings = Settings::load()?;
        let name = format!("trial_{}", uuid::Uuid::now_v7().simple());
        settings.amqp.prefix.clone_from(&name);
        settings.s3.artifact_prefix = format!("{name}/artifacts");
        Ok(Self { settings, keys: format!("{name}/"), name })
    }

    /// Creates the trial's own database and migrates it.
    ///
    /// # Errors
    /// When Postgres refuses.
    #[boxed]
    pub async fn database(&mut self) -> Result<adapters::postgres::Database> {
        let mut admin = admin().await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {}", self.name))).execute(&mut admin).await?;
        let mut url: url::Url = admin_url()?.parse()?;
        url.set_path(&self.name);
        self.settings.postgres.url = SecretString::from(url.to_string());
        self.settings.postgres.max_connections = 4;
        let database = adapters::postgres::Database::connect(&self.settings.postgres).await?;
        database.migrate().await?;
        Ok(database)
    }

    /// The bulk lane of the settings' model.
    pub fn bulk(&self) -> JobQueue {
        Lane::Bulk.of(&self.settings.model.name)
    }

    /// How many jobs wait in the bulk lane.
    ///
    /// # Errors
    /// When the broker refuses.
    #[boxed]
    pub async fn waiting(&self) -> Result<u32> {
        let bulk = Topology::new(&self.settings.amqp).jobs(&self.bulk());
        let depths = adapters::amqp::depths(&self.settings.amqp, &[&self.settings.model.name]).await?;
        Ok(depths.iter().find(|depth| depth.queue == bulk).context("the lane is declared")?.messages)
    }

    /// Takes all jobs out of the bulk lane, in order of their keys.
    ///
    /// # Errors
    /// When the broker refuses, or a message is no job.
    #[boxed]
    pub async fn queued(&self) -> Result<Vec<Job>> {
        let count = self.waiting().await?;
        let stop = CancellationToken::new();
        let mut leases = consume(&self.settings.amqp, &self.bulk(), 500, stop.clone());
        let mut jobs = Vec::new();
        for _ in 0..count {
            let lease = tokio::time::timeout(Duration::from_secs(20), leases.recv()).await?.context("stopped")?;
            jobs.push(Job::from_json(&lease.body).map_err(|failure| anyhow::anyhow!("{failure}"))?);
            lease.ack().await?;
        }
        stop.cancel();
        leases.closed().await;
        jobs.sort_by(|a, b| a.object.key.cmp(&b.object.key));
        Ok(jobs)
    }

    /// Models of the jobs in the trial's database, if it has one.
    async fn models(&self) -> Vec<String> {
        let Ok(mut database) = PgConnection::connect(self.settings.postgres.url.expose_secret()).await else {
            return Vec::new();
        };
        let query = "SELECT DISTINCT model_name FROM analyses";
        sqlx::query_scalar(query).fetch_all(&mut database).await.unwrap_or_default()
    }

    /// Removes queues, objects and database.
    ///
    /// # Errors
    /// When a service refuses.
    #[boxed]
    pub async fn end(self) -> Result<()> {
        let url = self.settings.amqp.url.expose_secret();
        let broker = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
        let channel = broker.create_channel().await?;
        let topology = Topology::new(&self.settings.amqp);
        let waiting: Vec<String> = self.settings.amqp.retry_delays_s.iter().map(|s| topology.retry(*s)).collect();
        let mut models: Vec<String> = MODELS.iter().map(|model| (*model).to_owned()).collect();
        models.push(self.settings.model.name.clone());
        models.extend(self.models().await);
        let of_models = models.iter().flat_map(|model| Lane::ALL.map(|lane| topology.jobs(&lane.of(model))));
        let others = Lane::ALL.map(|lane| topology.intake(lane)).into_iter().chain([topology.dead()]);
        for queue in others.chain(of_models).chain(waiting.iter().cloned()) {
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        for exchange in waiting.iter().chain([&topology.alerts_exchange()]) {
            channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await?;
        }
        broker.close(200, "done".into()).await?;

        let store = adapters::s3::Store::new(&self.settings.s3)?;
        let bucket = &self.settings.s3.bucket;
        let found: Vec<_> = futures_util::StreamExt::collect(store.list(bucket, &self.keys)).await;
        let keys = found.into_iter().map(|o| o.map(|o| o.key)).collect::<Result<Vec<_>, _>>()?;
        store.delete(bucket, &keys).await?;

        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut admin().await?).await?;
        Ok(())
    }
}

fn admin_url() -> Result<String> {
    std::env::var("EMOFLEET_TEST_POSTGRES_ADMIN_URL").context("EMOFLEET_TEST_POSTGRES_ADMIN_URL is not set")
}

async fn admin() -> Result<PgConnection> {
    Ok(PgConnection::connect(&admin_url()?).await?)
}
