//! The life of a recording on a worker: fetched, analysed, reported, recorded, settled.

mod drain;
mod intake;
mod job;
mod patience;
mod scratch;

pub use drain::Stop;
pub use intake::Intake;
pub use job::Workshop;
