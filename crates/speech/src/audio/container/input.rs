//! The file that a container's headers are read from.

use crate::audio::budget::Budget;
use crate::audio::bytes::read_at;
use crate::audio::errors;
use crate::settings;
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
    /// The processor time that reading the headers may take.
    pub budget: Budget,
    /// The longest recording, seconds: lengths are looked for only where a file may exceed it.
    pub max_seconds: f64,
    /// Most audio tracks: each has a channel at least.
    pub max_tracks: u16,
}

impl Input {
    /// All of `file`, before its head is read.
    pub(super) fn new(file: File, length: u64, limits: &settings::Audio, budget: Budget) -> Self {
        let (max_seconds, max_tracks) = (limits.max_seconds, limits.max_channels);
        Self { file, start: 0, length, head: Vec::new(), budget, max_seconds, max_tracks }
    }

    /// Up to `count` bytes from `offset` of the file on: fewer at its end.
    pub(super) fn read(&mut self, offset: u64, count: usize) -> Result<Vec<u8>, Failure> {
        if offset >= self.length {
            return Ok(Vec::new()); // the file can't be sought to where damaged headers lead
        }
        if self.budget.is_spent() {
            return Ok(Vec::new()); // what is read is of no use: `Budget::run` gives the failure
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
