//! From packets to samples.

use super::container::aac::Replication;
use super::container::{Source, source};
use super::opus::Opus;
use super::trim::Trim;
use crate::settings;
use domain::report::AudioFacts;
use domain::{Failure, FailureCode};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use symphonia_core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia_core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia_core::codecs::registry::CodecRegistry;
use symphonia_core::errors::Error;
use symphonia_core::packet::Packet;

/// Hz that are taken to be meant. 4 kHz is half of the poorest telephone.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// Packets in a row, of other tracks or without a sample, after which no more sound is expected.
const FRUITLESS: u32 = 100_000;
/// Bad packets that any recording may have, and one more for each this many packets.
const TOLERATED_BAD: (u64, u64) = (2, 25);

/// Decodes a file's sound, a packet at a time.
pub struct Decoder {
    source: Source,
    codec: Box<dyn AudioDecoder>,
    rate: u32,
    channels: u16,
    frames: u64,
    bad_packets: u64,
    packets: u64,
    longest: u64,
    trim: Trim,
    replication: Replication,
    block: Vec<Vec<f32>>,
    /// Whether `block` holds the first packet, decoded to learn rate and channels.
    ahead: bool,
}

impl Decoder {
    /// Opens `file`, whatever it is, and decodes its first packet, which alone tells rate and
    /// channels for sure.
    ///
    /// # Errors
    /// An `audio.*` failure that says what is wrong with the file.
    pub fn open(file: File, limits: &settings::Audio) -> Result<Self, Failure> {
        guarded(|| {
            let source = source::open(file, limits)?;
            if let Some(channels) = &source.params.channels {
                check_channels(channels.count(), limits)?;
            }
            // MP4 has no room for rates above 65 kHz; AAC's own configuration has.
            if let Some(rate) = source.params.sample_rate.filter(|_| source.params.codec != CODEC_ID_AAC) {
                check_rate(rate)?;
            }
            let codec = codec(&source)?;
            let mut decoder = Self {
                source,
                codec,
                rate: 0,
                channels: 0,
                frames: 0,
                bad_packets: 0,
                packets: 0,
                longest: 0,
                trim: Trim::default(),
                replication: Replication::default(),
                block: Vec::new(),
                ahead: false,
            };
            decoder.ahead = decoder.decode_next(limits)?;
            if decoder.ahead {
                check_channels(usize::from(decoder.channels), limits)?;
            }
            Ok(decoder)
        })
    }

    /// What the file is, as far as it was decoded.
    pub fn facts(&self) -> AudioFacts {
        AudioFacts {
            container: self.source.container.name().to_owned(),
            codec: self.codec.codec_info().short_name.to_owned(),
            sample_rate: self.rate,
            channels: self.channels,
            duration_s: self.frames as f64 / f64::from(self.rate.max(1)),
            bytes: self.source.bytes,
            bad_packets: self.bad_packets,
        }
    }

    /// The next samples, one `Vec` per channel, in [-1, 1] at the file's rate; `None` at the end.
    ///
    /// # Errors
    /// An `audio.*` failure that says what is wrong with the file; it can't be read any further.
    pub fn next(&mut self, limits: &settings::Audio) -> Result<Option<&[Vec<f32>]>, Failure> {
        if !std::mem::take(&mut self.ahead) && !guarded(|| self.decode_next(limits))? {
            return Ok(None);
        }
        Ok(Some(&self.block))
    }

    /// Fills `block` with the next samples; false at the end.
    fn decode_next(&mut self, limits: &settings::Audio) -> Result<bool, Failure> {
        for _ in 0..FRUITLESS {
            let packet = match self.source.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.source.track => packet,
                Ok(Some(_)) => continue,
                Err(Error::IoError(error)) if error.raw_os_error().is_some() => return Err(source::unreadable(&error)),
                // Demuxers report an end in the middle of a packet like this; whether that is too
                // early is judged by the header.
                Ok(None) | Err(Error::IoError(_)) => return self.end(limits),
                Err(Error::ResetRequired) => {
                    self.follow()?;
                    continue;
                }
                Err(_) => {
                    (self.packets, self.bad_packets) = (self.packets + 1, self.bad_packets + 1);
                    continue;
                }
            };
            self.packets += 1;
            if self.source.params.codec == CODEC_ID_AAC && self.replication.certain(&packet.data, self.core_rate()) {
                return Err(source::half_band("HE-AAC"));
            }
            if !self.decode(&packet)? {
                self.bad_packets += 1;
                self.conceal(&packet);
            }
            self.trim.apply(&mut self.block);
            if self.count() > 0 {
                let limit = limits.max_seconds * f64::from(self.rate);
                if self.frames as f64 > limit {
                    let what = format!("the recording is longer than {} seconds", limits.max_seconds);
                    return Err(Failure::new(FailureCode::AudioTooLong, what));
                }
                return Ok(true);
            }
            if self.trim.over() {
                return self.end(limits);
            }
        }
        Err(corrupt("the packets hold no sound"))
    }

    /// Goes on with the next of several streams that stand one behind the other in a file, as Ogg allows:
    /// what is heard is all of them.
    fn follow(&mut self) -> Result<(), Failure> {
        let before = self.source.params.codec;
        self.source.follow()?;
        if self.source.params.codec != before {
            return Err(corrupt("the codec changes within the file"));
        }
        self.codec = codec(&self.source)?;
        if self.rate > 0 {
            self.trim = Trim::new(&self.source, self.rate);
        }
        Ok(())
    }

    /// Decodes a packet into `block`; false when it is bad.
    fn decode(&mut self, packet: &Packet) -> Result<bool, Failure> {
        let decoded = match self.codec.decode(packet) {
            Ok(decoded) => decoded,
            Err(Error::Unsupported(what)) if self.rate == 0 => return Err(source::opening(&Error::Unsupported(what))),
            Err(_) => return Ok(false),
        };
        let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
        if self.rate == 0 {
            check_rate(rate)?;
            self.rate = rate;
            self.channels = u16::try_from(channels).unwrap_or(u16::MAX);
            self.trim = Trim::new(&self.source, rate);
        } else if rate != self.rate {
            return Err(corrupt(&format!("the sample rate changes from {} to {rate} Hz", self.rate)));
        }
        decoded.copy_to_vecs_planar(&mut self.block);
        if channels != usize::from(self.channels) {
            // A stream that falls back to mono for a while keeps its layout.
            let last = self.block.last().cloned().unwrap_or_default();
            self.block.resize(usize::from(self.channels), last);
        }
        self.longest = self.longest.max(self.block.first().map_or(0, Vec::len) as u64);
        Ok(true)
    }

    /// Puts silence in the place of a bad packet, so that what follows keeps its time.
    fn conceal(&mut self, packet: &Packet) {
        let track = self.source.reader.tracks().iter().find(|track| track.id == packet.track_id);
        let seconds =
            track.and_then(|track| track.time_base?.calc_duration(packet.dur)).map_or(0.0, |t| t.as_secs_f64());
        let frames = if self.frames == 0 { 0 } else { (seconds.clamp(0.0, 1.0) * f64::from(self.rate)) as usize };
        self.block.iter_mut().for_each(|samples| {
            samples.clear();
            samples.resize(frames, 0.0);
        });
    }

    /// Counts the samples in `block` as given.
    fn count(&mut self) -> usize {
        let count = self.block.first().map_or(0, Vec::len);
        self.frames += count as u64;
        count
    }

    /// At the end: gives the packet that was held back, without its padding, then judges.
    fn end(&mut self, limits: &settings::Audio) -> Result<bool, Failure> {
        if let Some(last) = self.trim.last() {
            self.block = last;
            if self.count() > 0 {
                return Ok(true);
            }
        }
        self.judge(limits)?;
        Ok(false)
    }

    /// Judges the file once all of it was read.
    fn judge(&self, limits: &settings::Audio) -> Result<(), Failure> {
        let (any, share) = TOLERATED_BAD;
        if self.bad_packets > any + self.packets / share || self.frames == 0 && self.bad_packets > 0 {
            return Err(corrupt(&format!("{} of {} packets can't be decoded", self.bad_packets, self.packets)));
        }
        let short = self.source.declared.unwrap_or(0).saturating_sub(self.frames);
        if short > 2 * self.longest && !limits.accept_truncated {
            let seconds = short as f64 / f64::from(self.rate.max(1));
            return Err(source::truncated(&format!("the file ends {seconds:.1} s before its header says")));
        }
        Ok(())
    }

    fn core_rate(&self) -> u32 {
        if self.rate > 0 { self.rate } else { self.source.params.sample_rate.unwrap_or(u32::MAX) }
    }
}

fn codec(source: &Source) -> Result<Box<dyn AudioDecoder>, Failure> {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<Opus>();
    let options = AudioDecoderOptions::default().gapless(source.gapless);
    registry.make_audio_decoder(&source.params, &options).map_err(|e| source::opening(&e))
}

/// Runs what reads bytes that anybody may have written: a decoder's panic is that file's failure.
fn guarded<T>(read: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(corrupt("the decoder can't cope with the file")))
}

fn corrupt(what: &str) -> Failure {
    Failure::new(FailureCode::AudioCorrupt, what)
}

fn check_rate(rate: u32) -> Result<(), Failure> {
    if RATES.contains(&rate) {
        return Ok(());
    }
    Err(Failure::new(FailureCode::AudioBadHeader, format!("the header says {rate} Hz, which no recorder means")))
}

fn check_channels(channels: usize, limits: &settings::Audio) -> Result<(), Failure> {
    if channels == 0 {
        return Err(Failure::new(FailureCode::AudioBadHeader, "the header says that there are no channels"));
    }
    if channels <= usize::from(limits.max_channels) {
        return Ok(());
    }
    let what = format!("the recording has {channels} channels; at most {} are taken", limits.max_channels);
    Err(Failure::new(FailureCode::AudioTooManyChannels, what))
}
