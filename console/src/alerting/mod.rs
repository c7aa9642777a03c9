//! The dispatcher of alerts: from the outbox to the exchange and the webhooks.

mod courier;
mod dispatcher;
mod metrics;
mod pause;
mod service;
mod status;

pub use dispatcher::Dispatcher;
pub use service::serve;
pub use status::print_status;
