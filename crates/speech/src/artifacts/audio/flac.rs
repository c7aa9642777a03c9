//! `processed_audio.flac`: the samples of `processed_audio.wav` without loss, in a third to two thirds of the bytes.

use domain::{Failure, FailureCode};
use flac_codec::Error;
use flac_codec::decode::FlacSampleReader;
use flac_codec::encode::{FlacChannelWriter, Options};
use flac_codec::metadata::Metadata as _;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use super::{AudioHeader, Decode, Description, Encode};

pub(super) const FLAC: Description = Description {
    file_name: NAME,
    content_type: "audio/flac",
    max_channels: 8, // by the format's own rule
    create: |path, channels| Ok(Box::new(Writer::create(path, channels)?)),
    open: |source| {
        let reader = Reader::open(source)?;
        Ok((reader.header()?, Box::new(reader)))
    },
};

const NAME: &str = "processed_audio.flac";
/// Seconds between two points of the seek table.
const SEEK_INTERVAL_S: u8 = 60;
/// Bytes kept for the seek table, which is known at the end only: points of 18 bytes for two hours. A longer file has none;
/// players then find a place by the numbers of its frames.
const SEEK_TABLE_BYTES: u32 = 4 + 120 * 18;

struct Writer {
    encoder: FlacChannelWriter<SharedFile>,
    file: SharedFile,
    /// The latest samples as the encoder takes them; kept for its memory.
    samples: Vec<Vec<i32>>,
}

impl Writer {
    fn create(path: &Path, channels: usize) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|e| Failure::disk(NAME, &e))?;
        let file = SharedFile(Rc::new(RefCell::new(BufWriter::new(file))));
        // The library's own choice of blocks and predictors, which is that of `flac -5`. To try every way to combine two
        // channels costs twice the time, and saves 0.3 % of a call.
        let options = Options::default()
            .fast_channel_correlation(true)
            .seektable_seconds(SEEK_INTERVAL_S)
            .padding(SEEK_TABLE_BYTES)
            .expect("less than 16 MiB");
        let rate = crate::framing::SAMPLE_RATE;
        let encoder = FlacChannelWriter::new(file.clone(), options, rate, 16, channels as u8, None).map_err(failure)?;
        Ok(Self { encoder, file, samples: vec![Vec::new(); channels] })
    }
}

impl Encode for Writer {
    fn write(&mut self, channels: &[Vec<i16>]) -> Result<(), Failure> {
        for (samples, channel) in self.samples.iter_mut().zip(channels) {
            samples.clear();
            samples.extend(channel.iter().copied().map(i32::from));
        }
        self.encoder.write(&self.samples).map_err(failure)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.encoder.finalize().map_err(failure)?;
        // The encoder leaves this to the file's end of life, where a full disk would not be noticed.
        self.file.0.borrow_mut().flush().map_err(|e| Failure::disk(NAME, &e))
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Io(error) => Failure::disk(NAME, &error),
        other => Failure::new(FailureCode::WorkerInternal, format!("{NAME}: {other}")),
    }
}

/// A file that the encoder writes to and does not own.
#[derive(Clone)]
struct SharedFile(Rc<RefCell<BufWriter<File>>>);

impl Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}

struct Reader(FlacSampleReader<BufReader<Box<dyn Read>>>);

impl Reader {
    fn open(source: Box<dyn Read>) -> io::Result<Self> {
        FlacSampleReader::new(BufReader::new(source)).map(Self).map_err(io_error)
    }

    fn header(&self) -> io::Result<AudioHeader> {
        if self.0.bits_per_sample() != 16 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{NAME}: not of 16 bits")));
        }
        Ok(AudioHeader {
            channels: self.0.channel_count().into(),
            sample_rate: self.0.sample_rate(),
            frames: self.0.total_samples().unwrap_or_default(),
        })
    }
}

impl Decode for Reader {
    fn read(&mut self, samples: &mut Vec<i16>) -> io::Result<()> {
        let block = self.0.fill_buf().map_err(io_error)?;
        // 16 bits, by the stream information.
        samples.extend(block.iter().map(|sample| *sample as i16));
        let used = block.len();
        self.0.consume(used);
        Ok(())
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => error,
        other => io::Error::new(io::ErrorKind::InvalidData, format!("{NAME}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sound, write};
    use super::*;
    use crate::artifacts::AudioFormat;
    use flac_codec::decode::{Verified, verify};
    use flac_codec::metadata::{SeekPoint, SeekTable, read_block, read_info};

    #[test]
    fn stream_information_is_complete_and_true() {
        let folder = tempfile::tempdir().expect("temporary folder");
        write(folder.path(), AudioFormat::Flac, &sound(2, 40_000));
        let path = folder.path().join(NAME);
        let file = std::fs::read(&path).expect("readable");
        let info = read_info(file.as_slice()).expect("stream information");
        assert_eq!((info.minimum_block_size, info.maximum_block_size), (4096, 4096));
        assert_eq!(info.total_samples.map(u64::from), Some(40_000));
        assert!(info.md5.is_some());
        let (least, most) =
            (info.minimum_frame_size.expect("known").get(), info.maximum_frame_size.expect("known").get());
        assert!(least < most && (most as usize) < file.len(), "{least} to {most} bytes");
        // All frames decode to what the encoder was given.
        assert!(matches!(verify(&path).expect("decodable"), Verified::MD5Match));
    }

    #[test]
    fn a_point_a_minute_leads_to_each_minute() {
        let folder = tempfile::tempdir().expect("temporary folder");
        write(folder.path(), AudioFormat::Flac, &sound(1, 150 * 16_000));
        let file = File::open(folder.path().join(NAME)).expect("there");
        let table: SeekTable = read_block(file).expect("readable").expect("a seek table");
        let minutes: Vec<u64> = table
            .points
            .iter()
            .map(|point| match point {
                SeekPoint::Defined { sample_offset, .. } => sample_offset / (60 * 16_000),
                SeekPoint::Placeholder => panic!("an empty point"),
            })
            .collect();
        assert_eq!(minutes.len(), 3, "{:?}", table.points);
    }

    /// Fails when it is full, as a disk does.
    #[test]
    fn a_full_disk_is_noticed_at_the_end_at_the_latest() {
        let full = Path::new("/dev/full");
        let mut writer = Writer::create(full, 1).expect("opened");
        let written = writer.write(&[vec![0; 100]]).and_then(|()| Box::new(writer).finish());
        assert_eq!(written.expect_err("no space").code, FailureCode::WorkerNoSpace);
    }
}
