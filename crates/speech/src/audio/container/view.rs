//! A part of a file, with a header of our own in front: what a demuxer gets to see.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use symphonia_core::io::MediaSource;

/// `head`, then the bytes `start..end` of `file`.
#[derive(Debug)]
pub(in crate::audio) struct View {
    head: Vec<u8>,
    file: File,
    start: u64,
    end: u64,
    position: u64,
}

impl View {
    /// `start..end` must lie within the file.
    pub(in crate::audio) fn new(head: Vec<u8>, file: File, start: u64, end: u64) -> Self {
        Self { head, file, start, end: end.max(start), position: 0 }
    }

    fn length(&self) -> u64 {
        self.head.len() as u64 + (self.end - self.start)
    }
}

impl Read for View {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let head = self.head.len() as u64;
        let count = if self.position < head {
            let rest = &self.head[self.position as usize..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        } else {
            let left = self.length().saturating_sub(self.position);
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.file.seek(SeekFrom::Start(self.start + (self.position - head)))?;
            self.file.read(&mut buffer[..wanted])?
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
    fn reads_the_header_then_its_part_of_the_file_and_seeks_over_both() {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(b"0123456789").expect("written");
        let mut view = View::new(b"ab".to_vec(), file, 3, 7);
        let mut all = String::new();
        view.read_to_string(&mut all).expect("read");
        assert_eq!(all, "ab3456");
        view.seek(SeekFrom::End(-3)).expect("sought");
        all.clear();
        view.read_to_string(&mut all).expect("read");
        assert_eq!(all, "456");
        assert!(view.seek(SeekFrom::Current(-100)).is_err());
    }
}
