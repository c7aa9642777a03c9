//! From a file to a demuxer, by content. Names are never looked at.

use super::detect::{self, Container, Content};
use super::view::View;
use super::{aac, bytes, matroska, mp4, mpeg, wav};
use crate::settings;
use domain::{Failure, FailureCode};
use std::fs::File;
use std::io;
use symphonia::default::formats as demux;
use symphonia_core::codecs::CodecParameters;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_OPUS, CODEC_ID_VORBIS};
use symphonia_core::errors::Error;
use symphonia_core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia_core::io::{MediaSourceStream, MediaSourceStreamOptions, ReadBytes};

/// Bytes looked at to tell what a file is.
const HEAD: usize = mpeg::SEARCH + 16 * 1024;

/// Tags in a row that are passed over: more are no recording but somebody's joke, gigabytes long.
const MOST_TAGS: usize = 8;

/// Samples per channel of one packet: eight times what the longest blocks of any codec hold.
const MOST_IN_PACKET: u64 = 1 << 20;

/// A file's sound, packet by packet.
pub(in crate::audio) struct Source {
    pub container: Container,
    pub reader: Box<dyn FormatReader>,
    /// Which of the reader's tracks.
    pub track: u32,
    pub params: AudioCodecParameters,
    /// Seconds of encoder's delay at the beginning that the demuxer leaves in.
    pub skip_s: f64,
    /// Seconds after that at which the last packet begins at the latest.
    pub keep_s: Option<f64>,
    /// Seconds of padding at the end of the last packet.
    pub padding_s: f64,
    /// Whether to believe the packets on what of them is delay and padding.
    pub gapless: bool,
    /// Samples per channel that the header promises.
    pub declared: Option<u64>,
    /// Size of the file.
    pub bytes: u64,
}

impl Source {
    /// Takes up the stream that the demuxer has come to.
    pub(in crate::audio) fn follow(&mut self) -> Result<(), Failure> {
        let (track, params) = choose(&*self.reader, None)?;
        refuse_surround_vorbis(&params)?;
        (self.skip_s, self.keep_s) = trim(self.container, track, &params, None);
        self.track = track.id;
        self.params = params;
        Ok(())
    }
}

/// Opens `file`, whatever it is.
pub(in crate::audio) fn open(mut file: File, limits: &settings::Audio) -> Result<Source, Failure> {
    let length = file.metadata().map_err(|e| unreadable(&e))?.len();
    if length == 0 {
        return Err(Failure::new(FailureCode::AudioEmpty, "the file has no bytes"));
    }
    let mut start = 0;
    for _ in 0..MOST_TAGS {
        start += detect::tag_length(&read(&mut file, start, 10)?);
    }
    let head = read(&mut file, start, HEAD)?;
    let whole = start + head.len() as u64 >= length;
    let (mut container, offset) = match detect::content(&head, whole) {
        Content::Container(container, offset) => (container, offset),
        Content::Unsupported(name) => return Err(unsupported(&format!("the file is {name}, which can't be decoded"))),
        Content::Unknown => {
            let what = "the content is no audio format that is known, whatever the file's name says";
            return Err(Failure::new(FailureCode::AudioNotAudio, what));
        }
    };
    let (mut header, mut from, mut to) = (Vec::new(), start + offset as u64, length);
    let (mut sound, mut missing, mut padding_s) = (None, 0, 0.0);
    match container {
        Container::Wav => {
            let wave = wav::read(&mut file, start, length)?;
            (from, to, missing) = (wave.start, wave.end, wave.missing);
            match wave.coding {
                wav::Coding::Header(canonical) => header = canonical,
                wav::Coding::Mpeg => container = Container::Mpeg,
            }
        }
        Container::Mp4 => {
            let boxes = mp4::read(&mut file, length).map_err(|e| unreadable(&e))?;
            if !boxes.indexed {
                let what = "the MP4 file ends before its index (moov), which recorders write last";
                return Err(Failure::new(FailureCode::AudioTruncated, what));
            }
            (sound, missing) = (boxes.sound, boxes.missing);
        }
        Container::Ogg => {
            if let Some(name) = detect::unsupported_in_ogg(&head) {
                return Err(unsupported(&format!("the Ogg file holds {name}, which can't be decoded")));
            }
            let tail = length.saturating_sub(66_000);
            missing = detect::missing_of_ogg(&read(&mut file, tail, 66_000)?);
        }
        Container::Matroska => {
            let segment = matroska::read(&mut file, start, length).map_err(|e| unreadable(&e))?;
            (missing, padding_s) = (segment.missing, segment.padding_s);
        }
        Container::Aiff => {
            let size = bytes::be32(&head, 4).filter(|size| (1..u32::MAX).contains(size)).map_or(0, u64::from);
            missing = (start + 8 + size).saturating_sub(length);
        }
        Container::Caf | Container::Flac | Container::Mpeg | Container::Adts => {}
    }
    let joined = container == Container::Mpeg && joined(&mut file, from)?;
    // The demuxers of MP4, Matroska and AIFF take nothing of a file that is not all there.
    let acceptable = !matches!(container, Container::Mp4 | Container::Matroska | Container::Aiff);
    if missing > 0 && !(limits.accept_truncated && acceptable) {
        return Err(truncated(&format!("the file ends {missing} bytes before its header says")));
    }
    let view = View::new(header, file, from, to);
    let reader = demuxer(container, MediaSourceStream::new(Box::new(view), MediaSourceStreamOptions::default()))
        .map_err(|e| opening(&e))?;
    let (track, params) = choose(&*reader, sound.as_ref())?;
    refuse_half_band(&params, sound.as_ref())?;
    refuse_surround_vorbis(&params)?;
    refuse_endless_packets(&params)?;
    let (declared, id) = (track.num_frames, track.id);
    let (skip_s, keep_s) = trim(container, track, &params, sound.as_ref());
    // Of MPEG audio without LAME's tag the demuxer guesses the length, by the first frame's rate,
    // and would have the decoder cut what goes past it; with one, what goes past the first of several.
    let guessed = container == Container::Mpeg && (track.delay.is_none() || joined);
    // Elsewhere the end is told by the container, or only estimated.
    let counted = matches!(container, Container::Flac | Container::Aiff | Container::Caf | Container::Mpeg);
    let declared = declared.filter(|_| counted && !guessed);
    Ok(Source {
        container,
        gapless: !guessed,
        track: id,
        params,
        skip_s,
        keep_s,
        padding_s,
        declared,
        bytes: length,
        reader,
    })
}

/// Whether another recording begins where the MPEG audio at `from` says that it ends: `cat` makes such files, and
/// the first one's length is not theirs.
fn joined(file: &mut File, from: u64) -> Result<bool, Failure> {
    let Some(length) = mpeg::counted(&read(file, from, 256)?) else { return Ok(false) };
    let next = read(file, from.saturating_add(length), 10)?;
    Ok(next.starts_with(b"ID3") || next.first() == Some(&0xff) && next.get(1).is_some_and(|byte| byte & 0xe0 == 0xe0))
}

fn demuxer(container: Container, mut stream: MediaSourceStream<'static>) -> Result<Box<dyn FormatReader>, Error> {
    let options = FormatOptions::default();
    Ok(match container {
        Container::Wav => Box::new(demux::WavReader::try_new(stream, options)?),
        Container::Aiff => Box::new(demux::AiffReader::try_new(stream, options)?),
        Container::Caf => Box::new(demux::CafReader::try_new(stream, options)?),
        Container::Flac => Box::new(demux::FlacReader::try_new(stream, options)?),
        Container::Ogg => Box::new(demux::OggReader::try_new(stream, options)?),
        Container::Mp4 => {
            // This demuxer expects to stand behind the size, at the mark that told it apart.
            stream.read_quad_bytes()?;
            Box::new(demux::IsoMp4Reader::try_new(stream, options)?)
        }
        Container::Matroska => Box::new(demux::MkvReader::try_new(stream, options)?),
        Container::Mpeg => Box::new(demux::MpaReader::try_new(stream, options)?),
        Container::Adts => Box::new(demux::AdtsReader::try_new(stream, options)?),
    })
}

/// The first track of sound whose codec is known.
fn choose<'a>(
    reader: &'a dyn FormatReader,
    sound: Option<&mp4::Sound>,
) -> Result<(&'a Track, AudioCodecParameters), Failure> {
    let known = reader.first_track_known_codec(TrackType::Audio);
    if let Some((track, Some(CodecParameters::Audio(params)))) = known.map(|track| (track, &track.codec_params)) {
        return Ok((track, params.clone()));
    }
    if let Some(sound) = sound {
        let name = String::from_utf8_lossy(&sound.entry).trim().to_lowercase();
        let name = match name.as_str() {
            "samr" | "sawb" | "sawp" => "AMR",
            "ac-3" | "ec-3" => "AC-3",
            "sqcp" => "QCELP",
            other => other,
        };
        return Err(unsupported(&format!("the MP4 file holds {name}, which can't be decoded")));
    }
    let silent = reader.tracks().iter().all(|track| track.track_type().is_some_and(|kind| kind != TrackType::Audio));
    if silent {
        return Err(Failure::new(FailureCode::AudioNotAudio, "the file holds no track of sound"));
    }
    Err(unsupported("the file's codec can't be decoded"))
}

fn refuse_half_band(params: &AudioCodecParameters, sound: Option<&mp4::Sound>) -> Result<(), Failure> {
    if params.codec != CODEC_ID_AAC {
        return Ok(());
    }
    let configuration = params.extra_data.as_deref().unwrap_or_default();
    let doubled = sound.zip(aac::core_rate(configuration)).is_some_and(|(sound, core)| sound.rate == core * 2);
    let name = aac::not_low_complexity(configuration).or(doubled.then_some("HE-AAC"));
    name.map_or(Ok(()), |name| Err(half_band(name)))
}

/// Symphonia 0.6 undoes the coupling of Vorbis's channels in the wrong order, which shows from
/// three channels on: speakers would be heard on channels that are not theirs.
fn refuse_surround_vorbis(params: &AudioCodecParameters) -> Result<(), Failure> {
    match params.channels.as_ref().map(symphonia_core::audio::Channels::count) {
        Some(channels @ 3..) if params.codec == CODEC_ID_VORBIS => {
            Err(unsupported(&format!("the file holds Vorbis with {channels} channels; at most two can be decoded")))
        }
        _ => Ok(()),
    }
}

/// Decoders make room for a whole packet before they have seen one: four bytes of a header would take all memory.
fn refuse_endless_packets(params: &AudioCodecParameters) -> Result<(), Failure> {
    let samples = params.max_frames_per_packet.max(params.frames_per_block).unwrap_or(0);
    if samples <= MOST_IN_PACKET {
        return Ok(());
    }
    let what = format!("the header says that a packet holds {samples} samples, which no recorder means");
    Err(Failure::new(FailureCode::AudioBadHeader, what))
}

/// The refusal of a codec of which only the lower half could be decoded.
pub(in crate::audio) fn half_band(name: &str) -> Failure {
    unsupported(&format!("the file holds {name}, of which only AAC-LC's part could be decoded"))
}

/// What to leave out, in seconds, of what the demuxer does not trim by itself.
fn trim(
    container: Container,
    track: &Track,
    params: &AudioCodecParameters,
    sound: Option<&mp4::Sound>,
) -> (f64, Option<f64>) {
    let seconds = |frames: u64| params.sample_rate.map_or(0.0, |rate| frames as f64 / f64::from(rate.max(1)));
    match (container, sound) {
        (Container::Mp4, Some(sound)) => (sound.skip_s, sound.keep_s),
        (Container::Caf, _) => {
            (seconds(track.delay.unwrap_or(0).into()), track.num_frames.filter(|_| track.delay.is_some()).map(seconds))
        }
        (Container::Ogg, _) if params.codec == CODEC_ID_OPUS => (f64::from(track.delay.unwrap_or(0)) / 48_000.0, None),
        (Container::Matroska, _) => match params.extra_data.as_deref() {
            Some(head) if head.starts_with(b"OpusHead") => {
                (f64::from(bytes::le16(head, 10).unwrap_or(0)) / 48_000.0, None)
            }
            _ => (0.0, None),
        },
        _ => (0.0, None),
    }
}

fn read(file: &mut File, at: u64, count: usize) -> Result<Vec<u8>, Failure> {
    bytes::read_at(file, at, count).map_err(|e| unreadable(&e))
}

/// The failure of the worker's own disk.
pub(in crate::audio) fn unreadable(error: &io::Error) -> Failure {
    Failure::new(FailureCode::WorkerInternal, format!("the local copy of the recording can't be read: {error}"))
}

fn unsupported(what: &str) -> Failure {
    Failure::new(FailureCode::AudioUnsupportedCodec, what)
}

/// The refusal of a file that ends too early.
pub(in crate::audio) fn truncated(what: &str) -> Failure {
    Failure::new(FailureCode::AudioTruncated, what)
}

/// A demuxer's or decoder's error before anything was decoded.
pub(in crate::audio) fn opening(error: &Error) -> Failure {
    match error {
        Error::Unsupported(what) => unsupported(&format!("the file holds what can't be decoded ({what})")),
        Error::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => truncated("the file ends within its header"),
        other => Failure::new(FailureCode::AudioCorrupt, format!("the file's header can't be read ({other})")),
    }
}
