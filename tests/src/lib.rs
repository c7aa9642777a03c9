//! The fleet's test harness. Tests run on real services:
//!
//! - [`trial`]: names of its own for one test, on the services that all tests share; [`fleet`] adds a worker in the
//!   test's process;
//! - [`rig`]: services of its own, which the test may stop or kill, and workers as processes; [`ledger`] compares what
//!   was handed in with what came of it; [`own_broker`], [`own_postgres`] and [`own_s3`]: one private service;
//! - [`proxy`], [`tls`], [`receiver`]: faults, certificates and webhook receivers between a program and a service;
//! - [`chaos`]: random faults from a seed, and the audit after them; [`small_disk`]: a disk that is full;
//! - [`programs`]: the fleet's programs as processes, [`ready`], [`processor_time`] and [`memory`]: what
//!   they take; [`console`]: a console
//!   beside a fleet;
//! - [`speech`], [`calls`], [`database`]: things to test with.

pub mod call_list;
pub mod calls;
pub mod captured;
pub mod chaos;
pub mod console;
pub mod cookbook;
pub mod database;
pub mod fleet;
pub mod ledger;
pub mod memory;
pub mod own_broker;
pub mod own_postgres;
pub mod own_s3;
pub mod processor_time;
pub mod programs;
pub mod proxy;
pub mod ready;
pub mod receiver;
pub mod repository;
pub mod rig;
pub mod small_disk;
pub mod speech;
pub mod tls;
pub mod trial;
pub mod watching;
