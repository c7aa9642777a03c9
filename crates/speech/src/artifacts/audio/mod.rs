//! The audio copy: the model's input, 16 kHz, 16-bit, one channel per scored track, in a format of the operator's choice.
//!
//! A new format is a file beside this one, and its line in [`AudioFormat`].

mod flac;
mod wav;

use domain::Failure;
use domain::report::AudioCopy;
use serde::Deserialize;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Declares the formats; the first is used where another one can't hold the channels.
macro_rules! formats {
    ($( $(#[$doc:meta])* $variant:ident = $description:path, $label:literal; )*) => {
        /// A format of the audio copy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub enum AudioFormat { $( $(#[$doc])* #[serde(rename = $label)] $variant, )* }

        impl AudioFormat {
            /// Every format there is.
            pub const ALL: &[Self] = &[ $( Self::$variant, )* ];

            /// Its name in settings and addresses, like `wav`.
            pub const fn label(self) -> &'static str {
                match self { $( Self::$variant => $label, )* }
            }

            const fn description(self) -> &'static Description {
                match self { $( Self::$variant => &$description, )* }
            }
        }
    };
}

formats! {
    /// PCM in WAV: what every program reads.
    Wav = wav::WAV, "wav";
    /// FLAC: the same samples in about half the bytes, or a third for telephone calls.
    Flac = flac::FLAC, "flac";
}

/// What a format's file says of it.
struct Description {
    /// Of the artifact.
    file_name: &'static str,
    /// Of HTTP.
    content_type: &'static str,
    /// Most channels of a file.
    max_channels: usize,
    /// Creates a file with this many channels, 1 to `max_channels`.
    create: Create,
    /// Reads the header of a file.
    open: Open,
}

type Create = fn(&Path, usize) -> Result<Box<dyn Encode>, Failure>;
type Open = fn(Box<dyn Read>) -> io::Result<(AudioHeader, Box<dyn Decode>)>;

/// A file that is being written.
trait Encode {
    /// Appends samples at 16 kHz: one slice of equal length, at least 1, per channel.
    fn write(&mut self, channels: &[Vec<i16>]) -> Result<(), Failure>;

    /// Completes the file.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// A file that is being read.
trait Decode {
    /// Appends the next ones to `samples`, interleaved by channel, whole frames only; none at the end.
    fn read(&mut self, samples: &mut Vec<i16>) -> io::Result<()>;
}

/// What the header of an audio copy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioHeader {
    /// Channels.
    pub channels: u16,
    /// Hz.
    pub sample_rate: u32,
    /// Samples of each channel.
    pub frames: u64,
}

impl AudioFormat {
    /// Name of the artifact, like `processed_audio.wav`.
    pub fn file_name(self) -> &'static str {
        self.description().file_name
    }

    /// Its type in HTTP, like `audio/wav`.
    pub fn content_type(self) -> &'static str {
        self.description().content_type
    }

    /// The format of an audio copy, by its name or key; `None` for other names.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.rsplit('/').next()?;
        Self::ALL.iter().copied().find(|format| format.file_name() == name)
    }

    /// This format, or the first one where it can't hold so many channels.
    fn that_holds(self, channels: usize) -> Self {
        if channels <= self.description().max_channels { self } else { Self::ALL[0] }
    }
}

/// An audio copy that is being written.
pub struct AudioFile {
    folder: PathBuf,
    wanted: AudioFormat,
    open: Option<(AudioFormat, Box<dyn Encode>)>,
    /// The latest samples in 16 bits; kept for its memory.
    samples: Vec<Vec<i16>>,
}

impl AudioFile {
    /// A file in `folder`, named after its format. It is created with the first samples, which say how many channels there
    /// are: too many for the format that is `wanted`, and it is another one.
    pub fn create(folder: &Path, wanted: AudioFormat) -> Self {
        Self { folder: folder.to_owned(), wanted, open: None, samples: Vec::new() }
    }

    /// Appends samples in [-1, 1] at 16 kHz: one slice of equal length per channel.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`; `audio.too_long` past what the format can hold.
    pub fn write(&mut self, channels: &[Vec<f32>]) -> Result<(), Failure> {
        if channels.first().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        self.samples.resize_with(channels.len(), Vec::new);
        for (samples, channel) in self.samples.iter_mut().zip(channels) {
            samples.clear();
            samples.extend(channel.iter().map(|sample| (sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16));
        }
        let (_, encoder) = match &mut self.open {
            Some(open) => open,
            none => {
                let format = self.wanted.that_holds(channels.len());
                let path = self.folder.join(format.file_name());
                none.insert((format, (format.description().create)(&path, channels.len())?))
            }
        };
        encoder.write(&self.samples)
    }

    /// Completes the file, and says which it is; `None` without a sample, and so without a file.
    ///
    /// # Errors
    /// `worker.no_space` or `worker.internal`.
    pub fn finish(self) -> Result<Option<AudioCopy>, Failure> {
        let Some((format, encoder)) = self.open else { return Ok(None) };
        encoder.finish()?;
        let (wanted, channels) = (self.wanted, self.samples.len());
        let reason = (format != wanted).then(|| {
            let most = wanted.description().max_channels;
            format!("{} holds at most {most} channels, and {channels} are scored", wanted.label())
        });
        Ok(Some(AudioCopy { file: format.file_name().to_owned(), reason }))
    }
}

/// An audio copy that is being read, block by block.
pub struct AudioReader {
    /// What its header says.
    pub header: AudioHeader,
    decoder: Box<dyn Decode>,
}

impl AudioReader {
    /// Reads the header.
    ///
    /// # Errors
    /// Of `source`, as it gave it; `InvalidData` when it is no such file.
    pub fn open(format: AudioFormat, source: Box<dyn Read>) -> io::Result<Self> {
        let (header, decoder) = (format.description().open)(source)?;
        Ok(Self { header, decoder })
    }

    /// Replaces `samples` by the next ones, interleaved by channel, whole frames only; by none at the end.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(&mut self, samples: &mut Vec<i16>) -> io::Result<()> {
        samples.clear();
        self.decoder.read(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    /// Noise and tones: `channels` of `frames` samples each.
    pub(super) fn sound(channels: usize, frames: usize) -> Vec<Vec<f32>> {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32
        };
        let tone = |channel: usize, at: usize| ((at * (channel + 1)) as f32 * 0.02).sin() * 0.4;
        (0..channels).map(|c| (0..frames).map(|at| tone(c, at) + noise() * 0.1).collect()).collect()
    }

    /// The samples of a file as they were meant, and what it is.
    fn read_back(path: &Path) -> (AudioHeader, Vec<i16>) {
        let format = AudioFormat::of(&path.to_string_lossy()).expect("named after its format");
        let mut reader = AudioReader::open(format, Box::new(File::open(path).expect("there"))).expect("a header");
        let (mut all, mut block) = (Vec::new(), Vec::new());
        loop {
            reader.read(&mut block).expect("readable");
            if block.is_empty() {
                return (reader.header, all);
            }
            assert!(block.len().is_multiple_of(usize::from(reader.header.channels)), "whole frames");
            all.extend_from_slice(&block);
        }
    }

    fn interleaved(sound: &[Vec<f32>]) -> Vec<i16> {
        let to_16_bits = |sample: f32| (sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16;
        (0..sound[0].len()).flat_map(|at| sound.iter().map(move |channel| to_16_bits(channel[at]))).collect()
    }

    /// Writes in blocks of uneven length, as preprocessing does.
    pub(super) fn write(folder: &Path, format: AudioFormat, sound: &[Vec<f32>]) -> Option<AudioCopy> {
        let mut file = AudioFile::create(folder, format);
        let frames = sound[0].len();
        for at in (0..frames).step_by(3001) {
            let block: Vec<_> = sound.iter().map(|channel| channel[at..frames.min(at + 3001)].to_vec()).collect();
            file.write(&block).expect("written");
        }
        file.finish().expect("finished")
    }

    #[test]
    fn every_format_gives_the_same_samples_back_at_every_length_and_number_of_channels() {
        for &format in AudioFormat::ALL {
            for (channels, frames) in [(1, 1), (1, 15), (1, 4096), (2, 4097), (2, 50_000), (3, 20_000), (8, 10_000)] {
                let folder = tempfile::tempdir().expect("temporary folder");
                let sound = sound(channels, frames);
                let copy = write(folder.path(), format, &sound).expect("a file");
                assert_eq!((copy.file.as_str(), copy.reason), (format.file_name(), None));
                let (header, samples) = read_back(&folder.path().join(copy.file));
                let said = AudioHeader { channels: channels as u16, sample_rate: 16_000, frames: frames as u64 };
                assert_eq!(header, said, "{format:?}");
                assert!(samples == interleaved(&sound), "{format:?}: {channels} channels of {frames} samples");
            }
        }
    }

    #[test]
    fn more_channels_than_a_format_holds_are_a_wav_file_that_says_why() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let sound = sound(9, 5000);
        let copy = write(folder.path(), AudioFormat::Flac, &sound).expect("a file");
        assert_eq!(copy.file, "processed_audio.wav");
        assert_eq!(copy.reason.as_deref(), Some("flac holds at most 8 channels, and 9 are scored"));
        let (header, samples) = read_back(&folder.path().join("processed_audio.wav"));
        assert_eq!((header.channels, header.frames), (9, 5000));
        assert!(samples == interleaved(&sound));
        assert!(!folder.path().join("processed_audio.flac").exists());
    }

    #[test]
    fn without_a_sample_there_is_no_file() {
        for &format in AudioFormat::ALL {
            let folder = tempfile::tempdir().expect("temporary folder");
            assert_eq!(write(folder.path(), format, &[Vec::new()]), None);
            assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
        }
    }

    #[test]
    fn a_format_is_known_by_its_name_and_no_other_file_is_one() {
        for &format in AudioFormat::ALL {
            let key = format!("emofleet/6c1b/2/{}", format.file_name());
            assert_eq!(AudioFormat::of(&key), Some(format));
            assert_eq!(format.file_name(), format!("processed_audio.{}", format.label()));
        }
        for other in ["", "a/result.json", "processed_audio.wav/x", "a/not_processed_audio.wav"] {
            assert_eq!(AudioFormat::of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_such_file_or_is_cut_short_is_an_error_and_no_panic() {
        for &format in AudioFormat::ALL {
            let folder = tempfile::tempdir().expect("temporary folder");
            write(folder.path(), format, &sound(2, 9000));
            let whole = std::fs::read(folder.path().join(format.file_name())).expect("readable");
            for length in [0, 3, 20, 43] {
                let cut: Box<dyn Read> = Box::new(io::Cursor::new(whole[..length].to_vec()));
                assert!(AudioReader::open(format, cut).is_err(), "{format:?} of {length} bytes");
            }
            let half: Box<dyn Read> = Box::new(io::Cursor::new(whole[..whole.len() / 2].to_vec()));
            let error = to_the_end(AudioReader::open(format, half).expect("a header")).expect_err("half of it");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{format:?}: {error}");
            let letter: Box<dyn Read> = Box::new(io::Cursor::new(b"A letter, not a recording.".repeat(50)));
            let error = AudioReader::open(format, letter).err().expect("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{format:?}: {error}");
        }
    }

    fn to_the_end(mut reader: AudioReader) -> io::Result<()> {
        let mut block = Vec::new();
        loop {
            reader.read(&mut block)?;
            if block.is_empty() {
                return Ok(());
            }
        }
    }

    /// A store that breaks off in the middle.
    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other(Failure::new(domain::FailureCode::StoreUnreachable, "broke off")))
        }
    }

    #[test]
    fn an_error_of_the_source_arrives_as_it_was_given() {
        for &format in AudioFormat::ALL {
            let folder = tempfile::tempdir().expect("temporary folder");
            write(folder.path(), format, &sound(2, 9000));
            let whole = std::fs::read(folder.path().join(format.file_name())).expect("readable");
            for length in [0, whole.len() / 2] {
                let source = Box::new(io::Cursor::new(whole[..length].to_vec()).chain(Broken));
                let error = AudioReader::open(format, source).and_then(to_the_end).expect_err("broken");
                let failure = error.downcast::<Failure>().expect("the source's own");
                assert_eq!(failure.code, domain::FailureCode::StoreUnreachable, "{format:?}, {length}");
            }
        }
    }
}
