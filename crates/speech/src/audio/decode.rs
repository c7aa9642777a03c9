//! From packets to samples.

use super::budget::Budget;
use super::clock::Clock;
use super::codec::{self, SbrDetector};
use super::container::Layout;
use super::damage::PacketCount;
use super::errors;
use super::source::{self, Source};
use super::timeline::Timeline;
use crate::settings;
use domain::Failure;
use domain::report::AudioFacts;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use symphonia_core::audio::Channels;
use symphonia_core::codecs::audio::AudioDecoder;
use symphonia_core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia_core::errors::Error;
use symphonia_core::packet::Packet;

/// Plausible sample rates, Hz. 4 kHz is half of the poorest telephone.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// Most bytes of a packet: decoded, resampled and waiting it takes up to thirty times as much memory. FLAC's longest frames have two MiB.
const MAX_PACKET_BYTES: usize = 4 << 20;
/// Steps in a row without a sample, two for each packet, after which no more audio is expected.
const MAX_STEPS_WITHOUT_AUDIO: u32 = 200_000;

/// Seconds that are decoded before a part that is sought: decoders need the packets before, to be exact.
const PREROLL_S: f64 = 1.0;

/// Seconds by which headers may announce more than is decoded: delays, padding and rounding.
const ANNOUNCED_TOLERANCE_S: f64 = 1.0;

/// Decodes one audio track of a file, a packet at a time.
pub struct Decoder {
    limits: settings::Audio,
    budget: Budget,
    source: Source,
    codec: Box<dyn AudioDecoder>,
    /// Hz; 0 before the first packet.
    rate: u32,
    channels: u16,
    /// Samples per channel delivered so far.
    frames: u64,
    packets: PacketCount,
    /// Samples per channel of the longest packet.
    longest_packet: u64,
    /// Seconds of the first packet's timestamp.
    stamp_s: f64,
    clock: Clock,
    timeline: Timeline,
    sbr: SbrDetector,
    /// Samples of silence to deliver before `waiting`: a gap between timestamps.
    gap: u64,
    /// A packet that was decoded, before the samples that don't belong to the recording are removed.
    waiting: Option<Vec<Vec<f32>>>,
    /// Whether the next packet is the first of another recording in the same file.
    begins_part: bool,
    /// The samples that were decoded last, one `Vec` per channel.
    block: Vec<Vec<f32>>,
    /// Whether `block` holds the first packet, which is decoded on opening to learn rate and channels.
    first_pending: bool,
}

impl Decoder {
    /// Opens the first audio track of `file`, whatever its format, and decodes its first packet, which alone gives
    /// rate and channels for sure. The limits apply to everything that is decoded later.
    ///
    /// # Errors
    /// An `audio.*` failure that says what is wrong with the file.
    pub fn open(file: File, limits: &settings::Audio) -> Result<Self, Failure> {
        let (layout, file, budget) = Self::layout(file, limits)?;
        Self::open_track(file, &layout, 0, limits, &budget)
    }

    /// Reads what `file` is, and which audio tracks it has. All of them share the budget.
    pub(super) fn layout(file: File, limits: &settings::Audio) -> Result<(Layout, File, Budget), Failure> {
        let bytes = file.metadata().map_err(|e| errors::unreadable(&e))?.len();
        let budget = Budget::new(bytes, limits);
        let (layout, file) = budget.run(|| catch_panic(|| source::layout(file, limits, &budget)))?;
        Ok((layout, file, budget))
    }

    /// Opens the audio track of this number, like [`Decoder::open`].
    pub(super) fn open_track(
        file: File,
        layout: &Layout,
        number: usize,
        limits: &settings::Audio,
        budget: &Budget,
    ) -> Result<Self, Failure> {
        budget.run(|| catch_panic(|| Self::begin_track(file, layout, number, limits, budget)))
    }

    fn begin_track(
        file: File,
        layout: &Layout,
        number: usize,
        limits: &settings::Audio,
        budget: &Budget,
    ) -> Result<Self, Failure> {
        let source = Source::open(file, layout, number, limits, budget)?;
        if let Some(channels) = &source.params.channels {
            check_channels(channels.count(), limits.max_channels)?;
        }
        // MP4 has no room for rates above 65 kHz; AAC's own configuration has.
        if let Some(rate) = source.params.sample_rate.filter(|_| source.params.codec != CODEC_ID_AAC) {
            check_rate(rate)?;
        }
        if source.timing.silent_s() > limits.max_seconds {
            return Err(errors::too_long(limits.max_seconds));
        }
        if let Some(announced_s) = source.timing.announced_s()
            && announced_s > limits.max_seconds + ANNOUNCED_TOLERANCE_S
        {
            return Err(errors::too_long_by_header(limits.max_seconds, announced_s));
        }
        let codec = codec::decoder(&source.params, source.timing.gapless).map_err(|failure| {
            // The container's name of a codec says more than the decoders do.
            layout.track(number).codec.map_or(failure, |name| errors::unsupported(&name))
        })?;
        let mut decoder = Self {
            limits: limits.clone(),
            budget: budget.clone(),
            source,
            codec,
            rate: 0,
            channels: 0,
            frames: 0,
            packets: PacketCount::default(),
            longest_packet: 0,
            stamp_s: 0.0,
            clock: Clock::default(),
            timeline: Timeline::default(),
            sbr: SbrDetector::default(),
            gap: 0,
            waiting: None,
            begins_part: false,
            block: Vec::new(),
            first_pending: false,
        };
        decoder.first_pending = decoder.decode_next()?;
        if decoder.first_pending {
            check_channels(usize::from(decoder.channels), limits.max_channels)?;
        }
        Ok(decoder)
    }

    /// What the file is, as far as it was decoded.
    pub fn facts(&self) -> AudioFacts {
        AudioFacts {
            container: self.source.container().to_owned(),
            codec: self.codec.codec_info().short_name.to_owned(),
            sample_rate: if self.has_samples() { self.rate } else { self.declared_rate() },
            channels: self.channels(),
            duration_s: self.duration_s(),
            bytes: self.source.bytes,
            bad_packets: self.packets.bad(),
            tracks: Vec::new(),
        }
    }

    /// What is wrong with the times of the track's packets, so that these are counted.
    pub(super) fn problem(&self) -> Option<&str> {
        self.source.problem.as_deref()
    }

    /// Bytes behind the audio that are ignored, as far as it was read.
    pub(super) fn ignored(&self) -> u64 {
        self.source.ignored
    }

    /// Seconds of the first packet's timestamp, from which those of live recordings count on.
    pub(super) fn stamp_s(&self) -> f64 {
        self.stamp_s
    }

    /// Seconds from timestamp 0 to the track's beginning.
    pub(super) fn start_s(&self) -> f64 {
        self.source.timing.start_s + self.stamp_s
    }

    /// Seconds decoded so far.
    pub(super) fn duration_s(&self) -> f64 {
        self.frames as f64 / f64::from(self.rate.max(1))
    }

    /// Whether the track holds a sample; its rate is known then.
    pub(super) fn has_samples(&self) -> bool {
        self.rate > 0
    }

    /// Channels; of a track without samples those of its header, or one.
    pub(super) fn channels(&self) -> u16 {
        let declared = self.source.params.channels.as_ref().map_or(1, Channels::count);
        if self.has_samples() { self.channels } else { u16::try_from(declared).unwrap_or(u16::MAX).max(1) }
    }

    /// The next samples, one `Vec` per channel, in [-1, 1] at the file's rate; `None` at the end.
    ///
    /// # Errors
    /// An `audio.*` failure that says what is wrong with the file; it can't be read any further.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend its block")]
    pub fn next(&mut self) -> Result<Option<&[Vec<f32>]>, Failure> {
        let budget = self.budget.clone();
        if !std::mem::take(&mut self.first_pending) && !budget.run(|| catch_panic(|| self.decode_next()))? {
            return Ok(None);
        }
        Ok(Some(&self.block))
    }

    /// Fills `block` with the next samples; false at the end.
    fn decode_next(&mut self) -> Result<bool, Failure> {
        for _ in 0..MAX_STEPS_WITHOUT_AUDIO {
            if self.budget.is_spent() {
                return Ok(false);
            }
            if self.timeline.is_done() {
                return self.check_complete().map(|()| false);
            }
            if self.rate > 0 {
                let silence = self.timeline.silence();
                if silence > 0 {
                    self.fill_with_silence(silence);
                    return self.deliver();
                }
                if self.source.can_seek()
                    && let Some(target) = self.timeline.seek_target(self.clock.position())
                {
                    self.seek(target)?;
                }
            }
            let is_gap = self.gap > 0;
            if !self.take_waiting() {
                if !self.read_packet()? {
                    self.timeline.end_part();
                }
                continue;
            }
            let position = self.clock.position();
            self.clock.advance(self.block.first().map_or(0, Vec::len));
            self.timeline.apply(&mut self.block, position);
            if let Some(count) = self.block.first().map(Vec::len).filter(|count| *count > 0) {
                // Silence that headers announce is no work.
                if !is_gap {
                    self.budget.earn(count, self.channels, self.rate);
                }
                return self.deliver();
            }
        }
        Err(errors::corrupt("the packets hold no audio"))
    }

    /// Moves into `block` what was decoded and is still to be placed: silence of a gap first, at most a second of it.
    fn take_waiting(&mut self) -> bool {
        if self.gap > 0 {
            let count = self.gap.min(self.rate.into());
            self.gap -= count;
            self.fill_with_silence(count as usize);
            return true;
        }
        self.waiting.take().map(|block| self.block = block).is_some()
    }

    /// Decodes the next packet into `waiting`, and finds the gap before it; false at the end.
    fn read_packet(&mut self) -> Result<bool, Failure> {
        let packet = match self.source.next_packet() {
            Ok(Some(packet)) => packet,
            Err(Error::IoError(error)) if error.raw_os_error().is_some() => return Err(errors::unreadable(&error)),
            // Demuxers report an end in the middle of a packet like this; `check_complete` decides by the header
            // whether it is too early.
            Ok(None) | Err(Error::IoError(_)) => return Ok(false),
            Err(Error::ResetRequired) => {
                self.next_stream()?;
                return Ok(true);
            }
            Err(_) => {
                self.packets.add();
                self.packets.add_bad();
                return Ok(true);
            }
        };
        if packet.data.is_empty() {
            // Nothing was transmitted: what the timestamps of the next packet leave open is silence.
            return Ok(true);
        }
        if packet.data.len() > MAX_PACKET_BYTES {
            let what =
                format!("a packet has {} bytes; at most {MAX_PACKET_BYTES} are decoded at once", packet.data.len());
            return Err(errors::bad_header(what));
        }
        self.packets.add();
        if self.source.params.codec == CODEC_ID_AAC && self.sbr.detect(&packet.data, self.core_rate()) {
            return Err(codec::unsupported_aac("HE-AAC"));
        }
        if self.decode(&packet)? {
            self.find_gap(&packet)?;
        } else {
            self.packets.add_bad();
            if self.frames == 0 && self.packets.is_hopeless() {
                return self.check_complete().map(|()| false);
            }
            self.conceal(&packet);
        }
        self.waiting = Some(std::mem::take(&mut self.block));
        Ok(true)
    }

    /// Counts the samples between the packets before and this one, by its timestamp.
    fn find_gap(&mut self, packet: &Packet) -> Result<(), Failure> {
        if !self.source.has_timestamps() || self.block.first().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let begin_s = self.source.begin_s(packet);
        self.gap = self.clock.gap(begin_s, self.rate, packet.trim_start.get(), self.longest_packet);
        let end_s = self.clock.position().saturating_add(self.gap) as f64 / f64::from(self.rate);
        if self.gap > 0 && end_s > self.limits.max_seconds {
            let gap_s = self.gap as f64 / f64::from(self.rate);
            return Err(errors::too_long_gap(self.limits.max_seconds, gap_s));
        }
        Ok(())
    }

    /// Goes to a position: the next part of an edit list does not follow the last.
    fn seek(&mut self, position: u64) -> Result<(), Failure> {
        let seconds = position as f64 / f64::from(self.rate) + self.clock.zero_s();
        self.source.seek((seconds - PREROLL_S).max(self.clock.zero_s()))?;
        self.codec.reset();
        self.clock.seek();
        (self.gap, self.waiting) = (0, None);
        Ok(())
    }

    fn fill_with_silence(&mut self, count: usize) {
        self.block.resize(usize::from(self.channels), Vec::new());
        for samples in &mut self.block {
            samples.clear();
            samples.resize(count, 0.0);
        }
    }

    /// Counts the samples in `block` as delivered.
    fn deliver(&mut self) -> Result<bool, Failure> {
        self.frames += self.block.first().map_or(0, Vec::len) as u64;
        if self.frames as f64 > self.limits.max_seconds * f64::from(self.rate) {
            return Err(errors::too_long(self.limits.max_seconds));
        }
        Ok(true)
    }

    /// Continues with the next of several streams that follow each other in a file, as Ogg allows: the recording
    /// is all of them.
    fn next_stream(&mut self) -> Result<(), Failure> {
        let before = self.source.params.codec;
        self.source.next_stream()?;
        if self.source.params.codec != before {
            return Err(errors::corrupt("the codec changes within the file: split it where another recording begins"));
        }
        self.begins_part = self.rate > 0;
        self.codec = codec::decoder(&self.source.params, self.source.timing.gapless)?;
        if self.rate > 0 {
            self.timeline = Timeline::new(&self.source.timing, self.rate, self.clock.position());
        }
        self.clock.restart();
        Ok(())
    }

    /// Decodes a packet into `block`; false when it is bad.
    fn decode(&mut self, packet: &Packet) -> Result<bool, Failure> {
        let decoded = match self.codec.decode(packet) {
            Ok(decoded) => decoded,
            Err(Error::Unsupported(what)) if self.rate == 0 => return Err(errors::opening(&Error::Unsupported(what))),
            Err(_) => return Ok(false),
        };
        let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
        if self.rate == 0 {
            check_rate(rate)?;
            self.rate = rate;
            self.stamp_s = self.source.begin_s(packet);
            self.channels = u16::try_from(channels).unwrap_or(u16::MAX);
            self.timeline = Timeline::new(&self.source.timing, rate, 0);
        } else if rate != self.rate {
            return Err(errors::corrupt(format!(
                "the sample rate changes from {} to {rate} Hz: split the file where another recording begins",
                self.rate
            )));
        }
        if std::mem::take(&mut self.begins_part) && channels != usize::from(self.channels) {
            return Err(errors::corrupt(format!(
                "the number of channels changes from {} to {channels}: split the file where another recording begins",
                self.channels
            )));
        }
        decoded.copy_to_vecs_planar(&mut self.block);
        if channels != usize::from(self.channels) {
            // A stream that falls back to mono for a while keeps its layout.
            let last = self.block.last().cloned().unwrap_or_default();
            self.block.resize(usize::from(self.channels), last);
        }
        let count = self.block.first().map_or(0, Vec::len);
        self.longest_packet = self.longest_packet.max(count as u64);
        self.discard(count);
        Ok(true)
    }

    /// Removes what the container says is to be discarded of the packet of `count` samples in `block`; more than there is
    /// is not believed.
    fn discard(&mut self, count: usize) {
        let padding_s = self.source.discarded_s();
        let padding = (padding_s.abs() * f64::from(self.rate)).round() as usize;
        if padding == 0 || padding > count {
            return;
        }
        for samples in &mut self.block {
            if padding_s < 0.0 { drop(samples.drain(..padding)) } else { samples.truncate(count - padding) }
        }
    }

    /// Replaces a bad packet by silence of its duration, so that what follows keeps its time.
    fn conceal(&mut self, packet: &Packet) {
        let seconds = self.source.duration_s(packet).clamp(0.0, 1.0);
        self.fill_with_silence(if self.frames == 0 { 0 } else { (seconds * f64::from(self.rate)) as usize });
    }

    /// Whether what was decoded is enough of the file.
    fn check_complete(&self) -> Result<(), Failure> {
        self.packets.check(self.frames > 0)?;
        let missing = self.source.timing.sample_count.unwrap_or(0).saturating_sub(self.frames);
        if missing > 2 * self.longest_packet && !self.limits.accept_truncated {
            // Before the first packet is decoded, the header alone says the rate.
            let rate = if self.rate > 0 { self.rate } else { self.declared_rate() };
            let seconds = missing as f64 / f64::from(rate.max(1));
            return Err(errors::truncated(format!("the file ends {seconds:.1} s before its header says")));
        }
        Ok(())
    }

    /// Hz, as the headers say; 0 where they don't, or what they say is not plausible.
    fn declared_rate(&self) -> u32 {
        self.source.params.sample_rate.filter(|rate| RATES.contains(rate)).unwrap_or(0)
    }

    fn core_rate(&self) -> u32 {
        if self.rate > 0 { self.rate } else { self.source.params.sample_rate.unwrap_or(u32::MAX) }
    }
}

/// Runs code that reads untrusted bytes: a decoder's panic becomes that file's failure.
fn catch_panic<T>(read: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(errors::corrupt("the decoder failed on the file")))
}

fn check_rate(rate: u32) -> Result<(), Failure> {
    if RATES.contains(&rate) {
        return Ok(());
    }
    Err(errors::bad_header(format!("the header says {rate} Hz, which is not plausible")))
}

/// Whether a file may have so many channels.
pub(super) fn check_channels(channels: usize, max_channels: u16) -> Result<(), Failure> {
    if channels == 0 {
        return Err(errors::bad_header("the header says that there are no channels"));
    }
    if channels <= usize::from(max_channels) { Ok(()) } else { Err(errors::too_many_channels(channels, max_channels)) }
}
