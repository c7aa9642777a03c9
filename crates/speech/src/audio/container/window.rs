//! Bytes of the file that were read ahead, so that each of many headers does not cost a read.

use super::Input;
use domain::Failure;

/// Bytes read at a time.
pub(super) const WINDOW: usize = 256 * 1024;

/// The bytes that were read last.
pub(super) struct Window {
    size: usize,
    bytes: Vec<u8>,
    begin: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self::new(WINDOW)
    }
}

impl Window {
    /// Reads so many bytes at a time.
    pub(super) fn new(size: usize) -> Self {
        Self { size, bytes: Vec::new(), begin: 0 }
    }

    /// Up to `count` bytes from `at` on: fewer at the file's end.
    pub(super) fn read(&mut self, input: &mut Input, at: u64, count: usize) -> Result<&[u8], Failure> {
        let end = self.begin + self.bytes.len() as u64;
        if at < self.begin || at.saturating_add(count as u64) > end {
            self.bytes = input.read(at, self.size.max(count))?;
            self.begin = at;
        }
        let from = ((at - self.begin) as usize).min(self.bytes.len());
        Ok(&self.bytes[from..self.bytes.len().min(from + count)])
    }
}
