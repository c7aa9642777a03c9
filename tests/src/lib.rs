//! The fleet's test harness.

pub mod trial;
pub mod calls;
pub mod database;
