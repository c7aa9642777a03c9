//! A demuxer's view of a file: a header of our own, then a range of the file's bytes.

use crate::audio::budget::Budget;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use symphonia_core::io::MediaSource;

/// `header`, then the bytes `start..end` of `file`. A read past the budget is an error.
#[derive(Debug)]
pub(in crate::audio) struct View {
    header: Vec<u8>,
    file: File,
    start: u64,
    end: u64,
    position: u64,
    budget: Budget,
}

impl View {
    /// `range` must be within the file.
    pub(in crate::audio) fn new(header: Vec<u8>, file: File, range: &Range<u64>, budget: Budget) -> Self {
        Self { header, file, start: range.start, end: range.end.max(range.start), position: 0, budget }
    }

    fn length(&self) -> u64 {
        self.header.len() as u64 + (self.end - self.start)
    }
}

impl Read for View {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.budget.step()?;
        let header = self.header.len() as u64;
        let count = if self.position < header {
            let rest = &self.header[self.position as usize..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        } else {
            let left = self.length().saturating_sub(self.position);
            let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 {
                // The file can't be sought to where damaged headers lead.
                return Ok(0);
            }
            self.file.seek(SeekFrom::Start(self.start + (self.position - header)))?;
            self.file.read(&mut buffer[..count])?
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for View {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

impl MediaSource for View {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_the_header_then_the_range_and_seeks_over_both() {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(b"0123456789").expect("written");
        let mut view = View::new(b"ab".to_vec(), file, &(3..7), Budget::new(10, &crate::Settings::default().audio));
        let mut all = String::new();
        view.read_to_string(&mut all).expect("read");
        assert_eq!(all, "ab3456");
        view.seek(SeekFrom::End(-3)).expect("sought");
        all.clear();
        view.read_to_string(&mut all).expect("read");
        assert_eq!(all, "456");
        assert!(view.seek(SeekFrom::Current(-100)).is_err());
        view.seek(SeekFrom::Start(u64::MAX - 1)).expect("sought");
        assert_eq!(view.read(&mut [0; 4]).expect("nothing is there"), 0);
    }
}
