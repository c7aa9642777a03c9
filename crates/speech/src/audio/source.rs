//! A file's packets: the container's layout, its demuxer, and the track that is decoded.

use super::container::{self, Container, TrackLayout, TrackTiming, View};
use super::{codec, errors};
use domain::Failure;
use std::fs::File;
use symphonia_core::codecs::CodecParameters;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatReader, Track, TrackType};
use symphonia_core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia_core::packet::Packet;

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
    /// Size of the file.
    pub bytes: u64,
}

impl Source {
    /// Opens `file`, whatever its format. `accept_truncated`: also when bytes are missing at its end.
    ///
    /// # Errors
    /// An `audio.*` failure that says what is wrong with the file.
    pub(super) fn open(file: File, accept_truncated: bool) -> Result<Self, Failure> {
        let bytes = file.metadata().map_err(|e| errors::unreadable(&e))?.len();
        if bytes == 0 {
            return Err(errors::empty());
        }
        let (mut layout, file) = container::read(file, bytes)?;
        if layout.missing > 0 && !(accept_truncated && layout.readable_in_part) {
            return Err(errors::truncated(format!("the file ends {} bytes before its header says", layout.missing)));
        }
        let container = layout.container;
        let view = View::new(std::mem::take(&mut layout.header), file, &layout.range);
        let stream = MediaSourceStream::new(Box::new(view), MediaSourceStreamOptions::default());
        let reader = container.demuxer(stream).map_err(|e| errors::opening(&e))?;
        let (track, params) = choose_track(&*reader, &layout.tracks)?;
        codec::check(&params, layout.tracks.first().and_then(|track| track.sample_rate))?;
        let timing = container.complete(layout.timing(), track, &params);
        Ok(Self { container, track: track.id, params, timing, bytes, reader })
    }

    /// The container's name in reports.
    pub(super) fn container(&self) -> &'static str {
        self.container.name()
    }

    /// The next packet of any track; `None` at the end.
    pub(super) fn next_packet(&mut self) -> SymphoniaResult<Option<Packet>> {
        self.reader.next_packet()
    }

    /// Whether `packet` is of the track that is decoded.
    pub(super) fn is_of_track(&self, packet: &Packet) -> bool {
        packet.track_id == self.track
    }

    /// Seconds that `packet` lasts by its header; 0 when unknown.
    pub(super) fn duration_s(&self, packet: &Packet) -> f64 {
        let track = self.reader.tracks().iter().find(|track| track.id == packet.track_id);
        let duration = track.and_then(|track| track.time_base?.calc_duration(packet.dur));
        duration.map_or(0.0, |duration| duration.as_secs_f64())
    }

    /// Selects the stream that the demuxer has come to, when several follow each other in one file (chained Ogg).
    ///
    /// # Errors
    /// `audio.unsupported_codec` or `audio.bad_header` of that stream.
    pub(super) fn next_stream(&mut self) -> Result<(), Failure> {
        let (track, params) = choose_track(&*self.reader, &[])?;
        codec::check(&params, None)?;
        let timing = self.container.complete(TrackTiming::default(), track, &params);
        (self.timing.delay_s, self.timing.keep_s) = (timing.delay_s, timing.keep_s);
        self.track = track.id;
        self.params = params;
        Ok(())
    }
}

/// The first audio track whose codec is known. `tracks`: those that the container's headers describe.
fn choose_track<'a>(
    reader: &'a dyn FormatReader,
    tracks: &[TrackLayout],
) -> Result<(&'a Track, AudioCodecParameters), Failure> {
    let known = reader.first_track_known_codec(TrackType::Audio);
    if let Some((track, Some(CodecParameters::Audio(params)))) = known.map(|track| (track, &track.codec_params)) {
        return Ok((track, params.clone()));
    }
    if let Some(codec) = tracks.first().and_then(|track| track.codec.as_deref()) {
        return Err(errors::unsupported(codec));
    }
    let no_audio = reader.tracks().iter().all(|track| track.track_type().is_some_and(|kind| kind != TrackType::Audio));
    if no_audio {
        return Err(errors::not_audio("the file has no audio track"));
    }
    Err(errors::unsupported("a codec that is not known"))
}
