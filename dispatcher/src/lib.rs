//! The dispatcher: delivers alerts from the outbox to the exchange and the webhooks.
#![warn(clippy::print_stderr)] // programs log; what asks or reports on a terminal says so

pub mod cli;
mod delivery_task;
mod dispatcher;
mod metrics;
mod service;
mod status;
mod transport;

pub use dispatcher::Dispatcher;
pub use service::serve;
pub use status::print_status;
