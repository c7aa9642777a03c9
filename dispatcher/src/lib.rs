//! The dispatcher: delivers alerts from the outbox to the exchange and the webhooks.

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
