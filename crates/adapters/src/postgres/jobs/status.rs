//! The states of a job.

/// State of a job. `done` and `failed` are final until the job is enqueued again with force, or replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Registered, perhaps in the queue; no worker has begun it.
    Queued,
    /// A worker has begun it.
    Running,
    /// Waiting in a retry queue after a transient failure.
    Retrying,
    /// Scored and recorded.
    Done,
    /// Failed for good, with a failure code.
    Failed,
}

impl Status {
    /// Lower-case name, as in the database.
    pub fn label(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether it is neither done nor failed.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Retrying)
    }

    /// The status with this name.
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Retrying, Self::Done, Self::Failed].into_iter().find(|s| s.label() == label)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.label())
    }
}
