//! A file's packets: the container's layout, its demuxer, and the audio track that is decoded.

use super::container::{self, Container, Layout, TrackLayout, TrackTiming, View};
use super::{codec, errors};
use domain::Failure;
use std::fs::File;
use symphonia_core::codecs::CodecParameters;
use symphonia_core::codecs::audio::{AudioCodecParameters, CODEC_ID_NULL_AUDIO};
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
    /// Whether the file has other audio tracks.
    has_others: bool,
}

/// Reads what `file` is, whatever its name. `accept_truncated`: also when bytes are missing at its end.
///
/// # Errors
/// An `audio.*` failure that says what is wrong with the file.
pub(super) fn layout(file: File, accept_truncated: bool) -> Result<(Layout, File), Failure> {
    let bytes = file.metadata().map_err(|e| errors::unreadable(&e))?.len();
    if bytes == 0 {
        return Err(errors::empty());
    }
    let (layout, file) = container::read(file, bytes)?;
    if layout.missing > 0 && !(accept_truncated && layout.readable_in_part) {
        return Err(errors::truncated(format!("the file ends {} bytes before its header says", layout.missing)));
    }
    Ok((layout, file))
}

impl Source {
    /// Opens the audio track of this number of a file with this layout.
    ///
    /// # Errors
    /// An `audio.*` failure that says what is wrong with the file or its track.
    pub(super) fn open(file: File, layout: &Layout, number: usize) -> Result<Self, Failure> {
        let bytes = file.metadata().map_err(|e| errors::unreadable(&e))?.len();
        let container = layout.container;
        let view = View::new(layout.header.clone(), file, &layout.range);
        let stream = MediaSourceStream::new(Box::new(view), MediaSourceStreamOptions::default());
        let reader = container.demuxer(stream).map_err(|e| errors::opening(&e))?;
        let described = layout.track(number);
        let (track, params) = choose_track(&*reader, &described)?;
        codec::check(&params, described.sample_rate)?;
        let timing = container.complete(described.timing, track, &params);
        let has_others = layout.track_count() > 1;
        Ok(Self { container, track: track.id, params, timing, bytes, reader, has_others })
    }

    /// The container's name in reports.
    pub(super) fn container(&self) -> &'static str {
        self.container.name()
    }

    /// The track's next packet; `None` at the end.
    pub(super) fn next_packet(&mut self) -> SymphoniaResult<Option<Packet>> {
        // Another track may have any number of packets in a row, but not more than the file has bytes.
        for _ in 0..self.bytes {
            match self.reader.next_packet()? {
                Some(packet) if packet.track_id != self.track => {}
                found => return Ok(found),
            }
        }
        Ok(None)
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

    /// Selects the stream that the demuxer has come to, when several follow each other in one file (chained Ogg).
    ///
    /// # Errors
    /// `audio.unsupported_codec` or `audio.bad_header` of that stream.
    pub(super) fn next_stream(&mut self) -> Result<(), Failure> {
        if self.has_others {
            return Err(errors::unsupported("several streams side by side that are followed by others"));
        }
        let (track, params) = choose_track(&*self.reader, &TrackLayout::default())?;
        codec::check(&params, None)?;
        let timing = self.container.complete(TrackTiming::default(), track, &params);
        (self.timing.delay_s, self.timing.keep_s) = (timing.delay_s, timing.keep_s);
        self.track = track.id;
        self.params = params;
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
