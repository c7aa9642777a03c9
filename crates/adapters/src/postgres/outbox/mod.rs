//! The outbox: messages of alerts, until their destination has accepted them.
//!
//! Any number of dispatchers may run. A destination's row is locked while one of them decides what
//! may be sent, for a few statements; requests are made outside of any transaction, on a claim that
//! expires, so that a dispatcher that dies blocks nothing for long.

mod claim;
mod listener;
mod outcome;
mod retry;
mod status;

pub use claim::{Claim, ClaimOutcome, ClaimRequest, OutboxMessage};
pub use listener::OutboxListener;
pub use outcome::Retry;
pub use status::{DestinationBacklog, DestinationStatus};
