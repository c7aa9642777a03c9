//! A file's packets: the container's layout, its demuxer, and the audio track that is decoded.

use super::budget::Budget;
use super::codec::{self, Blocks};
use super::container::{self, Container, Discard, Layout, Packing, Pager, TrackLayout, TrackTiming, View};
use super::errors;
use crate::settings;
use domain::Failure;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use symphonia_core::codecs::CodecParameters;
use symphonia_core::codecs::audio::{AudioCodecParameters, CODEC_ID_NULL_AUDIO};
use symphonia_core::errors::{Error, Result as SymphoniaResult};
use symphonia_core::formats::{FormatReader, SeekMode, SeekTo, Track, TrackType};
use symphonia_core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia_core::packet::Packet;
use symphonia_core::units::Time;

/// An open file: one audio track, packet by packet.
pub(super) struct Source {
    container: &'static dyn Container,
    reader: Box<dyn FormatReader>,
    /// Id of the demuxer's track.
    track: u32,
    /// The track's codec.
    pub params: AudioCodecParameters,
    /// Which of its decoded samples belong to the recording.
    pub timing: TrackTiming,
    /// What is wrong with the times of its packets, so that these are counted.
    pub problem: Option<String>,
    /// Bytes behind the audio that are ignored.
    pub ignored: u64,
    /// Size of the file.
    pub bytes: u64,
    /// The file, and the recordings in it that follow this one.
    file: File,
    joined: VecDeque<Range<u64>>,
    /// Whether [`Source::next_stream`] opens the next of those.
    at_joint: bool,
    limits: settings::Audio,
    budget: Budget,
    /// The number of the track in the file.
    number: usize,
    /// Whether the file has other audio tracks.
    has_others: bool,
    /// Finds the gaps between the pages of Ogg.
    pager: Pager,
    /// What the demuxer said behind the packets that the pager held.
    after_held: Option<SymphoniaResult<Option<Packet>>>,
    /// What is still to be discarded of packets, and the number of the next packet.
    discards: Arc<[Discard]>,
    number_of_packet: u64,
    /// What was done to the packets after coding.
    packing: Option<Packing>,
    /// The blocks of which a packet consists, where its duration is to be counted by them.
    blocks: Option<Blocks>,
}

/// Reads what `file` is, whatever its name.
///
/// # Errors
/// An `audio.*` failure that says what is wrong with the file.
pub(super) fn layout(file: File, limits: &settings::Audio, budget: &Budget) -> Result<(Layout, File), Failure> {
    let bytes = file.metadata().map_err(|e| errors::unreadable(&e))?.len();
    if bytes == 0 {
        return Err(errors::empty());
    }
    let (layout, file) = container::read(file, bytes, limits, budget)?;
    if layout.missing > 0 && !(limits.accept_truncated && layout.readable_in_part) {
        return Err(errors::truncated(format!("the file ends {} bytes before its header says", layout.missing)));
    }
    Ok((layout, file))
}

impl Source {
    /// Opens the audio track of this number of a file with this layout.
    ///
    /// # Errors
    /// An `audio.*` failure that says what is wrong with the file or its track.
    pub(super) fn open(
        file: File,
        layout: &Layout,
        number: usize,
        limits: &settings::Audio,
        budget: &Budget,
    ) -> Result<Self, Failure> {
        let copy = file.try_clone().map_err(|e| errors::unreadable(&e))?;
        let bytes = file.metadata().map_err(|e| errors::unreadable(&e))?.len();
        let container = layout.container;
        let view = View::new(layout.header.clone(), file, &layout.range, budget.clone());
        let stream = MediaSourceStream::new(Box::new(view), MediaSourceStreamOptions::default());
        let described = layout.track(number);
        let reader = container.demuxer(stream, &described).map_err(|e| errors::opening(&e))?;
        let (track, mut params) = choose_track(&*reader, &described)?;
        container.correct(&mut params);
        codec::check(&params, described.sample_rate)?;
        let mut timing = container.complete(described.timing, track, &params);
        if let (Some(base), Some(ticks)) = (track.time_base, layout.pages.ticks(track.id)) {
            timing.decoded_s = base.calc_duration(ticks.into()).map(|duration| duration.as_secs_f64());
        }
        let has_others = layout.track_count() > 1;
        let TrackLayout { packing, blocks, discards, .. } = described;
        Ok(Self {
            container,
            track: track.id,
            params,
            timing,
            problem: layout.pages.problem(track.id).map(str::to_owned),
            ignored: layout.ignored,
            bytes,
            reader,
            file: copy,
            joined: layout.joined.iter().cloned().collect(),
            at_joint: false,
            limits: limits.clone(),
            budget: budget.clone(),
            number,
            has_others,
            pager: layout.pages.pager(),
            after_held: None,
            discards,
            number_of_packet: 0,
            packing,
            blocks,
        })
    }

    /// The container's name in reports.
    pub(super) fn container(&self) -> &'static str {
        self.container.name()
    }

    /// The track's next packet; `None` at the end.
    pub(super) fn next_packet(&mut self) -> SymphoniaResult<Option<Packet>> {
        // Another track may have any number of packets in a row, but not more than the file has bytes.
        for _ in 0..self.bytes {
            if let Some(packet) = self.pager.next() {
                return self.unpack(packet).map(Some);
            }
            if let Some(after_held) = self.after_held.take() {
                return after_held;
            }
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id != self.track => {}
                Ok(Some(packet)) => self.pager.push(packet),
                other => {
                    self.pager.flush();
                    let ended = match &other {
                        Err(Error::IoError(error)) => error.raw_os_error().is_none(),
                        other => matches!(other, Ok(None)),
                    };
                    self.at_joint = ended && !self.joined.is_empty();
                    self.after_held = Some(if self.at_joint { Err(Error::ResetRequired) } else { other });
                }
            }
        }
        Ok(None)
    }

    /// Seconds that are to be discarded of the packet that came last: of its end or, where negative, of its beginning.
    pub(super) fn discarded_s(&self) -> f64 {
        let last = self.number_of_packet.wrapping_sub(1);
        let found = self.discards.binary_search_by_key(&last, |discard| discard.packet);
        found.map_or(0.0, |at| self.discards[at].padding_ns as f64 / 1e9)
    }

    /// The packet as it was coded.
    fn unpack(&mut self, mut packet: Packet) -> SymphoniaResult<Packet> {
        self.number_of_packet += 1;
        if let Some(packing) = &self.packing {
            packet.data = packing.unpack(&packet.data)?;
        }
        if let Some(blocks) = &self.blocks {
            packet.dur = blocks.frames(packet.data.len()).into();
        }
        Ok(packet)
    }

    /// Whether packets have timestamps of their own, rather than a count of the samples before them.
    pub(super) fn has_timestamps(&self) -> bool {
        self.container.has_timestamps()
    }

    /// Whether [`Source::seek`] works.
    pub(super) fn can_seek(&self) -> bool {
        self.container.can_seek()
    }

    /// Goes to the packet at this second by the headers, or to one before it.
    ///
    /// # Errors
    /// `audio.corrupt` where there is none.
    pub(super) fn seek(&mut self, seconds: f64) -> Result<(), Failure> {
        let time = Time::try_from_secs_f64(seconds).unwrap_or(Time::ZERO);
        let to = SeekTo::Time { time, track_id: Some(self.track) };
        let sought = self.reader.seek(SeekMode::Accurate, to);
        sought.map(|_| ()).map_err(|e| errors::corrupt(format!("a part of the recording can't be found ({e})")))
    }

    /// Seconds at which `packet` begins by its header; 0 when unknown.
    pub(super) fn begin_s(&self, packet: &Packet) -> f64 {
        let track = self.reader.tracks().iter().find(|track| track.id == packet.track_id);
        let begin = track.and_then(|track| track.time_base?.calc_time(packet.pts));
        begin.map_or(0.0, |begin| begin.as_secs_f64())
    }

    /// Seconds that `packet` lasts by its header; 0 when unknown.
    pub(super) fn duration_s(&self, packet: &Packet) -> f64 {
        let track = self.reader.tracks().iter().find(|track| track.id == packet.track_id);
        let duration = track.and_then(|track| track.time_base?.calc_duration(packet.dur));
        duration.map_or(0.0, |duration| duration.as_secs_f64())
    }

    /// Selects the stream that follows, when several follow each other in one file: the one that the demuxer has come to
    /// (chained Ogg), or the next of several recordings that were joined.
    ///
    /// # Errors
    /// `audio.unsupported_codec` or `audio.bad_header` of that stream.
    pub(super) fn next_stream(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.at_joint) {
            return self.next_recording();
        }
        if self.has_others {
            return Err(errors::unsupported("several streams side by side that are followed by others"));
        }
        let (track, params) = choose_track(&*self.reader, &TrackLayout::default())?;
        codec::check(&params, None)?;
        let timing = self.container.complete(TrackTiming::default(), track, &params);
        self.timing.parts = timing.parts;
        if self.track == track.id {
            self.pager.next_part(track.id);
        }
        self.track = track.id;
        self.params = params;
        Ok(())
    }
}

impl Source {
    /// Opens the next of several recordings that were joined.
    fn next_recording(&mut self) -> Result<(), Failure> {
        let Some(range) = self.joined.pop_front() else { return Ok(()) };
        let copy = || self.file.try_clone().map_err(|e| errors::unreadable(&e));
        let layout = container::read_part(self.container, copy()?, &range, &self.limits, &self.budget)?;
        if layout.missing > 0 && !(self.limits.accept_truncated && layout.readable_in_part) {
            let what = format!("a recording within the file ends {} bytes before its header says", layout.missing);
            return Err(errors::truncated(what));
        }
        if (layout.track_count() > 1) != self.has_others || self.number >= layout.track_count() {
            return Err(errors::unsupported("several recordings in one file that have other numbers of tracks"));
        }
        let joined = std::mem::take(&mut self.joined);
        let (count, ignored) = (self.timing.sample_count, self.ignored);
        let next = Self::open(copy()?, &layout, self.number, &self.limits, &self.budget)?;
        *self = Self { joined, bytes: self.bytes, ignored: ignored + layout.ignored, ..next };
        self.timing.sample_count = count.zip(self.timing.sample_count).map(|(before, own)| before + own);
        Ok(())
    }
}

/// The audio track that is `described`, or the first one with a known codec where nothing is.
fn choose_track<'a>(
    reader: &'a dyn FormatReader,
    described: &TrackLayout,
) -> Result<(&'a Track, AudioCodecParameters), Failure> {
    if let Some(name) = &described.refused {
        return Err(errors::unsupported(name));
    }
    let chosen = match described.id {
        Some(id) => reader.tracks().iter().find(|track| track.id == id),
        None => reader.first_track_known_codec(TrackType::Audio),
    };
    if let (Some(track), Some(params)) = (chosen, &described.params) {
        return Ok((track, params.clone()));
    }
    if let Some((track, Some(CodecParameters::Audio(params)))) = chosen.map(|track| (track, &track.codec_params))
        && params.codec != CODEC_ID_NULL_AUDIO
    {
        return Ok((track, params.clone()));
    }
    if let Some(codec) = described.codec.as_deref() {
        return Err(errors::unsupported(codec));
    }
    let no_audio = reader.tracks().iter().all(|track| track.track_type().is_some_and(|kind| kind != TrackType::Audio));
    if no_audio {
        return Err(errors::not_audio("the file has no audio track"));
    }
    Err(errors::unsupported("a codec that is not known"))
}
