//! The dispatcher: delivers alerts from the outbox to the exchange and the webhooks.

pub mod cli;
mod courier;
mod dispatcher;
mod metrics;
mod pause;
mod service;
mod signals;
mod status;

pub use dispatcher::Dispatcher;
pub use service::serve;
pub use status::print_status;
