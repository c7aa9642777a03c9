//! The states of an analysis.

/// Where a job stands. `done` and `failed` are final until somebody asks for the job again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Known, perhaps in the queue; no worker has begun it.
    Queued,
    /// A worker has begun it.
    Running,
    /// A transient failure; it waits in a retry queue.
    Retrying,
    /// Scored and recorded.
    Done,
    /// Given up, with a failure code.
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
