//! `processed_audio.wav`: the model's input, 16 kHz, 16-bit, one channel per scored track.

use domain::{Failure, FailureCode};
use hound::{SampleFormat, WavSpec, WavWriter};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// Bytes of samples that a WAV file can hold: its length field has 32 bits.
const MAX_DATA_BYTES: u64 = u32::MAX as u64 - 4096;

/// The file while it is being written.
pub struct AudioFile {
    path: PathBuf,
    writer: Option<WavWriter<BufWriter<File>>>,
    bytes: u64,
}

impl AudioFile {
    /// A file at `path`. It is created with the first block, which has the number of channels.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), writer: None, bytes: 0 }
    }

    /// Appends samples in [-1, 1] at 16 kHz: one slice of equal length per channel.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`; `audio.too_long` past what a WAV file can hold.
    pub fn write(&mut self, channels: &[Vec<f32>]) -> Result<(), Failure> {
        let frames = channels.first().map_or(0, Vec::len);
        self.bytes += (frames * channels.len() * 2) as u64;
        if self.bytes > MAX_DATA_BYTES {
            return Err(Failure::new(FailureCode::AudioTooLong, "processed_audio.wav would exceed 4 GiB"));
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let spec = WavSpec {
                    channels: channels.len() as u16,
                    sample_rate: crate::framing::SAMPLE_RATE,
                    bits_per_sample: 16,
                    sample_format: SampleFormat::Int,
                };
                none.insert(WavWriter::create(&self.path, spec).map_err(failure)?)
            }
        };
        for i in 0..frames {
            for channel in channels {
                let sample = (channel[i].clamp(-1.0, 1.0) * 32_767.0).round() as i16;
                writer.write_sample(sample).map_err(failure)?;
            }
        }
        Ok(())
    }

    /// Completes the header.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`.
    pub fn finish(self) -> Result<(), Failure> {
        self.writer.map_or(Ok(()), WavWriter::finalize).map_err(failure)
    }
}

fn failure(error: hound::Error) -> Failure {
    match error {
        hound::Error::IoError(error) => Failure::disk("processed_audio.wav", &error),
        other => Failure::new(FailureCode::WorkerInternal, format!("processed_audio.wav: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_interleaved_and_clipped() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("a.wav");
        let mut file = AudioFile::at(&path);
        file.write(&[vec![0.0, 1.0], vec![-2.0, 0.5]]).expect("written");
        file.finish().expect("finished");
        let mut reader = hound::WavReader::open(&path).expect("readable");
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, crate::framing::SAMPLE_RATE));
        let samples: Vec<i16> = reader.samples().map(|s| s.expect("sample")).collect();
        assert_eq!(samples, [0, -32_767, 32_767, 16_384]);
    }
}
