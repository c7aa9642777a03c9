//! A log in memory.

use anyhow::Result;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a subscriber writes JSON lines. Clones are the same log.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// What was logged so far, an event a line.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn events(&self) -> Result<Vec<Value>> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()?)
    }
}

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
