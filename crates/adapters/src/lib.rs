//! The services that the fleet uses: RabbitMQ, S3, Postgres, webhooks; and what every program needs to run beside them:
//! retries, health pages, logs, signals. Vendors' errors are mapped to [`domain::FailureCode`]s here and go no further.
#![warn(clippy::print_stderr)] // programs log; what asks or reports on a terminal says so

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

/// Boxes the future of an async function, and so compiles it once, in this crate. Without it, the code of an async function is
/// compiled in each program that awaits it, and with it the client of the service behind it. For every public async function
/// without type parameters, and for what those with type parameters have in common.
pub use async_recursion::async_recursion as boxed;
