//! Errors of the producer, and its exit codes.

use domain::Failure;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The command or its input is wrong: exit code 2.
    #[error("{0}")]
    Input(String),
    /// A service failed: exit code 1.
    #[error("{}\n  {}", .0, .0.code.advice())]
    Service(#[from] Failure),
}

impl ProducerError {
    /// A sentence about wrong input.
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Service(_) => 1,
        }
    }
}

/// How a command ended that was not cut short by an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Success: exit code 0.
    Done,
    /// Some input was skipped, as reported: exit code 2.
    Incomplete,
    /// Some recordings were left out, as reported; the others are enqueued: exit code 3.
    LeftOut,
    /// Of the recordings waited for, some failed: exit code 3.
    SomeFailed,
    /// The time given to wait ran out: exit code 4.
    TimedOut,
}

impl Outcome {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 2,
            Self::SomeFailed | Self::LeftOut => 3,
            Self::TimedOut => 4,
        }
    }
}
