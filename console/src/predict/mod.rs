//! Submits jobs, waits for them, and reads their results.

mod hub;
mod outcome;
mod refused;
mod submission;
mod submit;
mod workers;

pub(crate) use hub::{Hub, Progress, Stage};
pub(crate) use outcome::{Predicted, SMALL_RESULT};
pub(crate) use refused::Refusals;
pub(crate) use submission::{Origin, SOURCE, Submission};
pub(crate) use workers::Workers;
