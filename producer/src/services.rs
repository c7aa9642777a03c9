//! The services of a command, waited for as the user asked.

use adapters::amqp::Publisher;
use adapters::postgres::Database;
use adapters::retry::{RetryPolicy, retry_while};
use adapters::s3::Store;
use domain::Failure;
use settings::Settings;

/// As error messages call the services.
pub const POSTGRES: &str = "Postgres";
/// As error messages call the services.
pub const RABBITMQ: &str = "RabbitMQ";
/// As error messages call the services.
pub const S3: &str = "the S3 store";

/// The database, with the tables that this program knows.
///
/// # Errors
/// As [`retry_while`].
pub async fn database(settings: &Settings, policy: RetryPolicy) -> Result<Database, Failure> {
    let database = retry_while(policy, POSTGRES, || Database::connect(&settings.postgres)).await?;
    retry_while(policy, POSTGRES, || database.check_schema()).await?;
    Ok(database)
}

/// A publisher, with the broker's topology asserted.
///
/// # Errors
/// As [`retry_while`].
pub async fn broker(settings: &Settings, policy: RetryPolicy) -> Result<Publisher, Failure> {
    let publisher = Publisher::new(&settings.amqp);
    retry_while(policy, RABBITMQ, || publisher.ready()).await?;
    Ok(publisher)
}

/// The object store, with this bucket.
///
/// # Errors
/// As [`retry_while`].
pub async fn store(settings: &Settings, policy: RetryPolicy, bucket: &str) -> Result<Store, Failure> {
    let store = Store::new(&settings.s3)?;
    retry_while(policy, S3, || store.ping(bucket)).await?;
    Ok(store)
}

/// Creates the bucket of recordings and that of artifacts where they are missing, and returns their names.
///
/// # Errors
/// As [`retry_while`].
pub async fn create_buckets(settings: &Settings, policy: RetryPolicy) -> Result<Vec<&str>, Failure> {
    let store = Store::new(&settings.s3)?;
    let names = [settings.s3.bucket.as_str(), settings.s3.artifact_bucket.as_str()];
    let names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
    for name in &names {
        retry_while(policy, S3, || store.ensure_bucket(name)).await?;
    }
    Ok(names)
}
