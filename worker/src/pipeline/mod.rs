//! The life of a job on a worker: fetched, analysed, uploaded, recorded, settled.

mod drain;
mod isolation;
mod processor;
mod progress;
mod scratch;
mod slot_pool;

pub use drain::Stop;
pub use processor::JobProcessor;
pub use slot_pool::SlotPool;
