//! Submits jobs, waits for them, and reads their results.

mod hub;
mod outcome;
mod submit;
mod workers;

pub(crate) use hub::{Hub, Progress};
pub(crate) use submit::{Origin, Submission};
pub(crate) use workers::Workers;
