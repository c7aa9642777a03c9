//! The file that a container's headers are read from.

use crate::audio::bytes::read_at;
use crate::audio::errors;
use domain::Failure;
use std::fs::File;

/// A recording's file, positioned behind any tags in front.
pub(in crate::audio) struct Input {
    /// The file.
    pub file: File,
    /// Where the container begins.
    pub start: u64,
    /// Bytes of the whole file.
    pub length: u64,
    /// The first bytes from `start` on.
    pub head: Vec<u8>,
}

impl Input {
    /// Up to `count` bytes from `offset` of the file on: fewer at its end.
    pub(super) fn read(&mut self, offset: u64, count: usize) -> Result<Vec<u8>, Failure> {
        if offset >= self.length {
            return Ok(Vec::new()); // the file can't be sought to where damaged headers lead
        }
        read_at(&mut self.file, offset, count).map_err(|e| errors::unreadable(&e))
    }

    /// Whether `head` is all there is.
    pub(super) fn whole(&self) -> bool {
        self.start + self.head.len() as u64 >= self.length
    }

    /// Whether `head` has `magic` at `offset`.
    pub(super) fn has(&self, offset: usize, magic: &[u8]) -> bool {
        self.head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    }
}
