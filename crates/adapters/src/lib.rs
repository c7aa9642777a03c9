//! The services that the fleet uses: RabbitMQ, S3, Postgres, webhooks; and what every program needs to run beside them:
//! retries, health pages, logs, signals. Vendors' errors are mapped to [`domain::FailureCode`]s here and go no further.

pub mod amqp;
mod cause;
pub mod health;
mod pem;
pub mod postgres;
pub mod reconcile;
pub mod retention;
pub mod retry;
pub mod s3;
pub mod shutdown;
pub mod telemetry;
pub mod webhook;
