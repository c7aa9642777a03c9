//! Fetches recordings, hears their emotion, records it.

pub mod audio;
pub mod runtime;
