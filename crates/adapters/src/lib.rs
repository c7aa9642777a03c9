//! The outside world, as the fleet sees it: RabbitMQ, S3, Postgres, webhooks, telemetry.
//! Vendors' errors are mapped to [`domain::FailureCode`]s here and go no further.

pub mod amqp;
pub mod health;
mod pem;
pub mod postgres;
pub mod s3;
pub mod telemetry;
pub mod webhook;
