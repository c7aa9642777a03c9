//! The console: so far, the dispatcher of alerts.

pub mod alerting;
pub mod cli;
mod signals;
