//! The fleet's test harness.

pub mod trial;
