//! RabbitMQ: the topology, confirmed publishing, leases on jobs, and the dead letters.
//!
//! Consuming and publishing use separate connections: a broker short of memory or disk blocks
//! those that publish, and acknowledgements must not be caught in that.

mod signatures;

pub use signatures::*;
