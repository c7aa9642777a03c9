//! A small file system that tests fill up.

use anyhow::Result;
use std::io::Write;

use crate::speech::run;

/// A file system of 64 MiB for the workers' temporary files. It ends with this value.
#[derive(Debug)]
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one.
    ///
    /// # Errors
    /// Without the right to mount.
    pub fn mount() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        run("mount", &["-t", "tmpfs", "-o", "size=64m", "tmpfs", &folder.path().to_string_lossy()])?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn folder(&self) -> String {
        self.0.path().to_string_lossy().into_owned()
    }

    /// Leaves no byte free.
    ///
    /// # Errors
    /// When the file that fills it can't be made.
    pub fn fill(&self) -> Result<()> {
        let mut file = std::fs::File::create(self.0.path().join("filler"))?;
        let block = vec![0; 1 << 16];
        while file.write_all(&block).is_ok() {}
        // The rest of the last block, to the byte.
        while file.write_all(&[0; 64]).is_ok() {}
        Ok(())
    }

    /// Frees what [`Self::fill`] took.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.path().join("filler"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &["-l", &self.folder()]) {
            eprintln!("{error:#}");
        }
    }
}
