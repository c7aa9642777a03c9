//! RabbitMQ: the topology, confirmed publishing, leases on jobs, and dead letters.
//!
//! Consuming and publishing use separate connections: a broker short of memory or disk blocks
//! publishers, and acknowledgements must not wait for that.

mod confirms;
mod consume;
mod dead_letter;
mod dead_letters;
mod inbox;
mod intake;
mod lease;
mod lease_time;
mod leases;
mod link;
mod message;
mod publisher;
mod settings;
mod topology;
mod traceparent;

pub use consume::{Link, consume, consume_while};
pub use dead_letter::{DeadLetter, Filter};
pub use dead_letters::{DeadLetters, Discarded, Listing};
pub use domain::{JobQueue, Lane};
pub use inbox::{Inbox, Letter};
pub use intake::sort;
pub use lease::{Lease, LeaseLost, Retry};
pub use leases::Leases;
pub use message::header;
pub use publisher::Publisher;
pub use settings::Settings;
pub use topology::{Depth, Topology, depths};
pub use traceparent::TraceParent;
