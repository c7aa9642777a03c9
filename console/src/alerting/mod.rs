//! The dispatcher of alerts: from the outbox to the exchange and the webhooks.

mod courier;
mod dispatcher;
mod pause;
mod status;

pub use dispatcher::Dispatcher;
pub use status::print_status;
