//! The life of a job on a worker: fetched, analysed, uploaded, recorded, settled.

mod artifacts;
mod breaker;
mod drain;
mod isolation;
mod processor;
mod progress;
mod scratch;
mod settle;
mod slot_pool;

pub use breaker::Breaker;
pub use drain::Stop;
pub use processor::JobProcessor;
pub use slot_pool::SlotPool;
