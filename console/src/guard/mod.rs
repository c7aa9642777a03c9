//! Checks of every request before its route.

mod concurrency;
mod headers;
mod host;
mod origin;
mod rate;
mod refusal;

pub(crate) use concurrency::{ConcurrencyLimits, Turn};
pub(crate) use headers::{Nonce, headers};
pub(crate) use host::known_host;
pub(crate) use origin::same_origin;
pub(crate) use rate::{RateLimit, rate_limit};
pub(crate) use refusal::drain_refused;
