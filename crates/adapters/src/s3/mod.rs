//! The object store: recordings in, artifacts out. Only the endpoint of the settings is used: a job names a bucket and
//! a key, and nothing else.

mod bucket;
mod client;
mod failures;
mod fetch;
mod genuine;
mod list;
pub mod notification;
mod object;
mod probe;
mod read;
mod settings;
mod upload;

pub use client::Store;
pub use fetch::Fetched;
pub use object::ObjectInfo;
pub use read::{ByteStream, Reading};
pub use settings::{Checksums, Settings, is_endpoint, is_prefix};
