//! The object store: recordings in, artifacts out.

mod signatures;

pub use signatures::*;
