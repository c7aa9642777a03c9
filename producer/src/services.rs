//! The services, waited for where the user wishes.

use adapters::amqp::{Backoff, Publisher};
use adapters::postgres::Database;
use adapters::s3::Store;
use domain::{Failure, FailureCode};
use settings::Settings;
use std::time::Duration;

/// How long to wait for services that are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until they come.
    Endless,
    /// Not at all.
    None,
}

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Patience {
    /// Does `attempt` until it succeeds, while the reason is that the service does not answer.
    /// Says for what it waits, once per reason.
    ///
    /// # Errors
    /// That of `attempt`, when waiting can't help or is not wished.
    pub async fn with<T, F>(self, service: &str, mut attempt: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut backoff = Backoff::new(LONGEST_PAUSE);
        let mut said: Option<Failure> = None;
        loop {
            let failure = match attempt().await {
                Ok(value) => {
                    if said.is_some() {
                        eprintln!("{service} is there");
                    }
                    return Ok(value);
                }
                Err(failure) if self == Self::Endless && is_away(&failure) => failure,
                Err(failure) => return Err(failure),
            };
            if said.as_ref() != Some(&failure) {
                eprintln!("waiting for {service}: {}", failure.message);
                said = Some(failure);
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// The database, with the tables that this program knows.
    ///
    /// # Errors
    /// As [`Patience::with`].
    pub async fn database(self, settings: &Settings) -> Result<Database, Failure> {
        let database = self.with("Postgres", || Database::connect(&settings.postgres)).await?;
        self.with("Postgres", || database.check_schema()).await?;
        Ok(database)
    }

    /// The broker, with its topology asserted.
    ///
    /// # Errors
    /// As [`Patience::with`].
    pub async fn broker(self, settings: &Settings) -> Result<Publisher, Failure> {
        let publisher = Publisher::new(&settings.amqp);
        self.with("RabbitMQ", || publisher.ready()).await?;
        Ok(publisher)
    }

    /// The object store, with this bucket.
    ///
    /// # Errors
    /// As [`Patience::with`].
    pub async fn store(self, settings: &Settings, bucket: &str) -> Result<Store, Failure> {
        let store = Store::new(&settings.s3)?;
        self.with("the S3 store", || store.ping(bucket)).await?;
        Ok(store)
    }
}

/// Whether a service does not answer, rather than refuse.
fn is_away(failure: &Failure) -> bool {
    use FailureCode::{BrokerUnreachable, DatabaseUnreachable, StoreUnreachable};
    matches!(failure.code, BrokerUnreachable | DatabaseUnreachable | StoreUnreachable)
}
