//! From a received file to a job, and from a finished job to its answer.

mod hub;
mod outcome;
mod submit;
mod workers;

pub(crate) use hub::{Hub, Progress};
pub(crate) use submit::{Origin, Submission};
pub(crate) use workers::Workers;
