//! How a delivery ended: one type for the sender, the outbox and the metrics.

use std::time::Duration;

/// How one request to a destination ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The destination accepted the request.
    Delivered,
    /// The destination limits the rate of requests. Nothing is sent there until `retry_after` has passed; the
    /// attempt does not count.
    Busy {
        /// The pause that the destination asks for.
        retry_after: Duration,
        /// The destination's answer.
        reason: String,
    },
    /// The destination can't be reached, is broken, or rejects every request of ours. Nothing is sent there for a while.
    Failed {
        /// The pause that the destination asks for, if it does.
        retry_after: Option<Duration>,
        /// The error, or the destination's answer.
        reason: String,
    },
    /// The destination rejects this request: its messages are retried one by one, others meanwhile.
    Refused {
        /// The destination's answer.
        reason: String,
    },
}

impl DeliveryOutcome {
    /// A failure without a pause of the destination's own.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { retry_after: None, reason: reason.into() }
    }

    /// Lower-case name, as in logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Busy { .. } => "busy",
            Self::Failed { .. } => "failed",
            Self::Refused { .. } => "refused",
        }
    }

    /// Why the request did not succeed.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Delivered => None,
            Self::Busy { reason, .. } | Self::Failed { reason, .. } | Self::Refused { reason } => Some(reason),
        }
    }
}
