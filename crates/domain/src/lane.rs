//! How urgent a job is, and which jobs share a queue.

use crate::label_enum;

label_enum! {
    /// How urgent a job is. Each lane has its own queues and consumers.
    pub enum Lane: "lane" {
        /// A batch.
        Bulk = "bulk",
        /// A person waits for the result.
        Interactive = "interactive",
    }
}

impl Lane {
    /// The jobs of this lane for one model.
    pub fn of(self, model: impl Into<String>) -> JobQueue {
        JobQueue { lane: self, model: model.into() }
    }
}

/// The jobs of one lane for one model, as they share a queue: a worker takes those for its own model only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobQueue {
    /// How urgent.
    pub lane: Lane,
    /// Name of the model.
    pub model: String,
}
