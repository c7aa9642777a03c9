//! The header `traceparent` of W3C Trace Context, version 00: `00-<trace id>-<span id>-<flags>`.

use domain::JobId;
use std::str::FromStr;

/// The trace that a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Identity of the trace; never 0.
    pub trace_id: u128,
    /// Identity of the sender's span; never 0.
    pub span_id: u64,
    /// Whether the sender records this trace.
    pub sampled: bool,
}

/// A header that breaks the rules of W3C Trace Context. It is ignored, as the specification asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of W3C Trace Context")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// A new trace for a job: its identity is the job's, so that all attempts are found by it.
    pub fn of_job(job: JobId) -> Self {
        Self { trace_id: job.0.as_u128(), span_id: rand::random_range(1..=u64::MAX), sampled: true }
    }
}

impl std::fmt::Display for TraceParent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits).ok_or(InvalidTraceParent)?;
            let lower_hex = part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            let value = u128::from_str_radix(part, 16).ok().filter(|_| lower_hex);
            value.ok_or(InvalidTraceParent)
        };
        let (version, trace_id, span_id, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Later versions may append fields; version 255 is forbidden.
        if version == 0xff || trace_id == 0 || span_id == 0 || (version == 0 && parts.next().is_some()) {
            return Err(InvalidTraceParent);
        }
        let span_id = u64::try_from(span_id).map_err(|_| InvalidTraceParent)?;
        Ok(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parsed: TraceParent = text.parse().expect("valid");
        assert_eq!((parsed.trace_id >> 120, parsed.span_id >> 56, parsed.sampled), (0x0a, 0xb7, true));
        assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(wrong.parse::<TraceParent>(), Err(InvalidTraceParent), "{wrong}");
        }
    }
}
