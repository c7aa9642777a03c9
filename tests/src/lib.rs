//! The fleet's test harness.
