//! `embedding.npy`: f32, shape [D] for utterances, [frames, D] for frames. Rows are written to disk one by one,
//! since two hours of frames would not fit in memory.

use domain::Failure;
use ndarray::Array1;
use ndarray_npy::WriteNpyExt as _;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "embedding.npy";

/// The file while rows are being written.
pub struct EmbeddingFile {
    path: PathBuf,
    rows: BufWriter<File>,
    values: usize,
}

impl EmbeddingFile {
    /// Writes one vector of shape `[D]` at once.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`.
    pub fn write_vector(path: &Path, vector: &[f32]) -> Result<(), Failure> {
        let io = |e: std::io::Error| Failure::disk(NAME, &e);
        let file = BufWriter::new(File::create(path).map_err(io)?);
        Array1::from(vector.to_vec()).write_npy(file).map_err(|e| Failure::disk(NAME, &std::io::Error::other(e)))
    }

    /// Begins a file of rows that will be completed at `path`; `scratch` holds them until then, since the header
    /// must have their number.
    pub fn begin_rows(path: &Path, scratch: File) -> Self {
        Self { path: path.to_owned(), rows: BufWriter::new(scratch), values: 0 }
    }

    /// Appends whole rows, flattened.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`.
    pub fn append(&mut self, values: &[f32]) -> Result<(), Failure> {
        self.values += values.len();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.rows.write_all(&bytes).map_err(|e| Failure::disk(NAME, &e))
    }

    /// Writes header and rows of `dim` numbers each.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`.
    pub fn finish(self, dim: usize) -> Result<(), Failure> {
        let count = self.values / dim;
        let complete = move || -> std::io::Result<()> {
            let mut rows = self.rows.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            rows.seek(SeekFrom::Start(0))?;
            let out = File::options().read(true).write(true).create(true).truncate(true).open(&self.path)?;
            // The library writes the header and zeros (a hole in the file); the rows then overwrite the zeros.
            ndarray_npy::write_zeroed_npy::<f32, _>(&out, (count, dim)).map_err(std::io::Error::other)?;
            let mut out = &out;
            out.seek(SeekFrom::End(-i64::try_from(self.values * 4).map_err(std::io::Error::other)?))?;
            std::io::copy(&mut rows.take((self.values * 4) as u64), &mut out)?;
            out.flush()
        };
        complete().map_err(|e| Failure::disk(NAME, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn a_vector_reads_back() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("e.npy");
        EmbeddingFile::write_vector(&path, &[1.0, -2.0]).expect("written");
        let back: Array1<f32> = ndarray_npy::read_npy(&path).expect("readable");
        assert_eq!(back.to_vec(), [1.0, -2.0]);
    }

    #[test]
    fn rows_read_back_in_their_shape() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("e.npy");
        let mut file = EmbeddingFile::begin_rows(&path, tempfile::tempfile().expect("scratch"));
        file.append(&[1.0, 2.0, 3.0]).expect("appended");
        file.append(&[4.0, 5.0, 6.0]).expect("appended");
        file.finish(3).expect("finished");
        let back: Array2<f32> = ndarray_npy::read_npy(&path).expect("readable");
        assert_eq!(back, ndarray::array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    }
}
