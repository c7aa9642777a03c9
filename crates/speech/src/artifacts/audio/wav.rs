//! `processed_audio.wav`: PCM of 16 bits.

use domain::{Failure, FailureCode};
use hound::{SampleFormat, WavSpec, WavWriter};
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use super::{AudioHeader, Decode, Description, Encode};

pub(super) const WAV: Description = Description {
    file_name: NAME,
    content_type: "audio/wav",
    max_channels: u16::MAX as usize,
    create: |path, channels| Ok(Box::new(Writer::create(path, channels)?)),
    open: |source| {
        let reader = Reader::open(source)?;
        Ok((reader.header, Box::new(reader)))
    },
};

const NAME: &str = "processed_audio.wav";
/// Bytes of samples that a WAV file can hold: its length field has 32 bits.
const MAX_DATA_BYTES: u64 = u32::MAX as u64 - 4096;
/// Bytes read at once.
const BLOCK: usize = 64 << 10;
/// Longest header looked for, bytes.
const MAX_HEADER: u64 = 64 << 10;

struct Writer {
    writer: WavWriter<BufWriter<File>>,
    bytes: u64,
}

impl Writer {
    fn create(path: &Path, channels: usize) -> Result<Self, Failure> {
        let spec = WavSpec {
            channels: channels as u16,
            sample_rate: crate::framing::SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        Ok(Self { writer: WavWriter::create(path, spec).map_err(failure)?, bytes: 0 })
    }
}

impl Encode for Writer {
    fn write(&mut self, channels: &[Vec<i16>]) -> Result<(), Failure> {
        let frames = channels.first().map_or(0, Vec::len);
        self.bytes += (frames * channels.len() * 2) as u64;
        if self.bytes > MAX_DATA_BYTES {
            return Err(Failure::new(FailureCode::AudioTooLong, format!("{NAME} would exceed 4 GiB")));
        }
        for i in 0..frames {
            for channel in channels {
                self.writer.write_sample(channel[i]).map_err(failure)?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.writer.finalize().map_err(failure)
    }
}

fn failure(error: hound::Error) -> Failure {
    match error {
        hound::Error::IoError(error) => Failure::disk(NAME, &error),
        other => Failure::new(FailureCode::WorkerInternal, format!("{NAME}: {other}")),
    }
}

/// Reads plain RIFF and RF64 from a stream.
struct Reader {
    source: Box<dyn Read>,
    header: AudioHeader,
    /// Bytes of samples that are left.
    left: u64,
    bytes: Vec<u8>,
}

impl Reader {
    fn open(mut source: Box<dyn Read>) -> io::Result<Self> {
        let (mut format, mut long_data, mut read) = (None, None, 12);
        let mut begin = [0; 12];
        exactly(&mut source, &mut begin)?;
        if !matches!(&begin[..4], b"RIFF" | b"RF64") || &begin[8..] != b"WAVE" {
            return Err(invalid("no WAV file"));
        }
        loop {
            let mut head = [0; 8];
            exactly(&mut source, &mut head)?;
            let size = long(&head, 4);
            if &head[..4] == b"data" {
                let (channels, sample_rate) = format.ok_or_else(|| invalid("samples without a format"))?;
                let left = long_data.filter(|_| size == u32::MAX).unwrap_or(u64::from(size));
                let frames = left / (2 * u64::from(channels));
                let header = AudioHeader { channels, sample_rate, frames };
                return Ok(Self { source, header, left, bytes: Vec::new() });
            }
            let padded = u64::from(size) + u64::from(size & 1);
            read += 8 + padded;
            if read > MAX_HEADER {
                return Err(invalid("no samples where they should begin"));
            }
            let mut body = vec![0; padded as usize];
            exactly(&mut source, &mut body)?;
            match &head[..4] {
                b"fmt " if body.len() >= 16 => {
                    let word = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
                    if word(2) == 0 || word(14) != 16 {
                        return Err(invalid("not of 16 bits"));
                    }
                    format = Some((word(2), long(&body, 4)));
                }
                b"ds64" if body.len() >= 16 => {
                    long_data = Some(u64::from(long(&body, 8)) | u64::from(long(&body, 12)) << 32);
                }
                _ => {}
            }
        }
    }
}

impl Decode for Reader {
    fn read(&mut self, samples: &mut Vec<i16>) -> io::Result<()> {
        let frame = 2 * usize::from(self.header.channels);
        let wanted = (BLOCK / frame).max(1) * frame;
        self.bytes.clear();
        let left = self.left.min(wanted as u64);
        let read = Read::by_ref(&mut self.source).take(left).read_to_end(&mut self.bytes)?;
        self.left -= read as u64;
        let whole = self.bytes.chunks_exact(frame).flat_map(|frame| frame.chunks_exact(2));
        samples.extend(whole.map(|sample| i16::from_le_bytes([sample[0], sample[1]])));
        if (read as u64) < left { Err(invalid("it ends before its last sample")) } else { Ok(()) }
    }
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn exactly(source: &mut dyn Read, bytes: &mut [u8]) -> io::Result<()> {
    source.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => invalid("it ends in its header"),
        _ => error,
    })
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{NAME}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::{AudioFile, AudioFormat};

    #[test]
    fn samples_are_interleaved_and_clipped() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut file = AudioFile::create(dir.path(), AudioFormat::Wav);
        file.write(&[vec![0.0, 1.0], vec![-2.0, 0.5]]).expect("written");
        file.finish().expect("finished");
        let mut reader = hound::WavReader::open(dir.path().join(NAME)).expect("readable");
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, crate::framing::SAMPLE_RATE));
        let samples: Vec<i16> = reader.samples().map(|s| s.expect("sample")).collect();
        assert_eq!(samples, [0, -32_767, 32_767, 16_384]);
    }

    #[test]
    fn headers_with_other_chunks_and_of_long_files_are_read() {
        let format = b"fmt \x10\0\0\0\x01\0\x02\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x10\0";
        let plain = [b"RIFF\x24\0\0\0WAVE".as_slice(), b"LIST\x03\0\0\0abc\0", format, b"data\x08\0\0\0"].concat();
        let long = [
            b"RF64\xff\xff\xff\xffWAVEds64\x10\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\0\x01\0\0\0".as_slice(),
            format,
            b"data\xff\xff\xff\xff",
        ]
        .concat();
        for (head, frames) in [(plain, 2), (long, ((1_u64 << 32) + 8) / 4)] {
            let file = [head.as_slice(), &[1, 0, 2, 0, 3, 0, 4, 0]].concat();
            let mut reader = Reader::open(Box::new(io::Cursor::new(file))).expect("a header");
            assert_eq!(reader.header, AudioHeader { channels: 2, sample_rate: 16_000, frames });
            let mut samples = Vec::new();
            let read = reader.read(&mut samples);
            assert_eq!(samples, [1, 2, 3, 4]);
            // Of the long file, this is the beginning only.
            assert_eq!(read.err().map(|error| error.kind()), (frames > 2).then_some(io::ErrorKind::InvalidData));
        }
    }
}
