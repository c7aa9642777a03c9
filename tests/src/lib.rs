//! The fleet's test harness.

pub mod calls;
pub mod cookbook;
pub mod database;
pub mod fleet;
pub mod ledger;
pub mod own_broker;
pub mod own_postgres;
pub mod proxy;
pub mod receiver;
pub mod repository;
pub mod rig;
pub mod speech;
pub mod tls;
pub mod trial;
