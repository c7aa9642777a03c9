//! The states of a job.

domain::label_enum! {
    /// State of a job. `done` and `failed` are final until the job is enqueued again with force, or replayed.
    pub enum Status: "status" {
        /// Registered, perhaps in the queue; no worker has begun it.
        Queued = "queued",
        /// A worker has begun it.
        Running = "running",
        /// Waiting in a retry queue after a transient failure.
        Retrying = "retrying",
        /// Scored and recorded.
        Done = "done",
        /// Failed for good, with a failure code.
        Failed = "failed",
    }
}

impl Status {
    /// Whether it is neither done nor failed.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Retrying)
    }
}
