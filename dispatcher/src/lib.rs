//! The dispatcher: delivers alerts from the outbox to the exchange and the webhooks.

mod backoff;
pub mod cli;
mod delivery_task;
mod dispatcher;
mod metrics;
mod service;
mod signals;
mod status;
mod transport;

pub use dispatcher::Dispatcher;
pub use service::serve;
pub use status::print_status;
