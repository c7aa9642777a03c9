//! All audio tracks of a file: their channels are numbered on in file order.
//!
//! Each track has a demuxer of its own, which reads the file for itself and passes over the others' packets. That reads a
//! file of several tracks several times, but bounds memory whatever the order of the packets: one demuxer for all tracks
//! would have to store the packets that are not needed yet, which are all of a track where a file is not interleaved.

use super::align::{Aligned, PlacedTrack};
use super::decode::{Decoder, check_channels};
use super::errors;
use crate::settings;
use domain::channel::Track;
use domain::report::{AudioFacts, AudioTrackFacts};
use domain::{Failure, Warning, WarningCode};
use std::fs::File;
use std::ops::Range;

/// Seconds by which tracks may begin apart and still count as beginning together: encoders write the first packet's
/// time in different ways.
const SAME_BEGIN_S: f64 = 0.12;

/// An open file with all its audio tracks.
pub struct Recording {
    tracks: Vec<AudioTrack>,
    max_seconds: f64,
}

/// One audio track.
struct AudioTrack {
    /// Numbers of its channels. A track that can't be decoded counts as one channel.
    channels: Range<u16>,
    /// Hz, as the container declares; 0 where it doesn't.
    declared_rate: u32,
    decoder: Result<Decoder, Failure>,
}

impl Recording {
    /// Opens all audio tracks of `file`, whatever its format. The limits apply to all of them together.
    ///
    /// # Errors
    /// An `audio.*` failure of the file, or of its first track when none can be decoded.
    pub fn open(file: File, limits: &settings::Audio) -> Result<Self, Failure> {
        let (layout, file, budget) = Decoder::layout(file, limits)?;
        let count = layout.track_count();
        check_channels(count, limits.max_channels)?;
        let (mut tracks, mut next) = (Vec::new(), 0u16);
        for number in 0..count {
            // The copies share one position in the file; a demuxer seeks before each read (`View`).
            let file = file.try_clone().map_err(|e| errors::unreadable(&e))?;
            let decoder = match Decoder::open_track(file, &layout, number, limits, &budget) {
                Err(failure) if count == 1 || !errors::leaves_other_tracks(&failure) => return Err(failure),
                decoder => decoder.map_err(|failure| errors::of_track(number, &failure)),
            };
            let channels = decoder.as_ref().map_or(1, Decoder::channels);
            check_channels(usize::from(next) + usize::from(channels), limits.max_channels)?;
            let declared_rate = layout.track(number).sample_rate.unwrap_or(0);
            tracks.push(AudioTrack { channels: next..next + channels, declared_rate, decoder });
            next += channels;
        }
        match tracks.first() {
            Some(AudioTrack { decoder: Err(failure), .. }) if tracks.iter().all(|track| track.decoder.is_err()) => {
                Err(failure.clone())
            }
            _ => Ok(Self { tracks, max_seconds: limits.max_seconds }),
        }
    }

    /// How many channels the tracks have together.
    pub fn channels(&self) -> u16 {
        self.tracks.last().map_or(0, |track| track.channels.end)
    }

    /// Whether any track holds a sample.
    pub fn has_samples(&self) -> bool {
        self.decoders().any(Decoder::has_samples)
    }

    /// Why a channel has no sound, if its track can't be decoded.
    pub(super) fn failure(&self, channel: u16) -> Option<&Failure> {
        self.tracks.iter().find(|track| track.channels.contains(&channel))?.decoder.as_ref().err()
    }

    /// What the file is, as far as it was decoded.
    pub fn facts(&self) -> AudioFacts {
        let with_sound = self.decoders().find(|decoder| decoder.has_samples());
        let Some(first) = with_sound.or_else(|| self.decoders().next()) else { return AudioFacts::default() };
        let (facts, begin_s) = (first.facts(), self.begin_s());
        if self.tracks.len() == 1 {
            return AudioFacts { duration_s: start_s(first, begin_s) + facts.duration_s, ..facts };
        }
        AudioFacts {
            channels: self.channels(),
            duration_s: self.decoders().map(|d| start_s(d, begin_s) + d.facts().duration_s).fold(0.0, f64::max),
            bad_packets: self.decoders().map(|decoder| decoder.facts().bad_packets).sum(),
            tracks: self.tracks.iter().map(|track| track.facts(begin_s)).collect(),
            ..facts
        }
    }

    /// What makes the result worth less, as far as the file's headers tell.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let wrong_times = self.tracks.iter().filter_map(|track| {
            let problem = track.decoder.as_ref().ok()?.problem()?;
            let message = format!("{problem}: packets are counted, and silence between them may be missing");
            Some(Warning { code: WarningCode::AudioWrongTimes, channels: track.channels.clone().collect(), message })
        });
        let bytes = self.decoders().map(Decoder::ignored).max().unwrap_or(0);
        let ignored = (bytes > 0).then(|| {
            let message =
                format!("{bytes} bytes behind the audio that the headers describe are no sound that can be read");
            Warning { code: WarningCode::AudioBytesIgnored, channels: (0..self.channels()).collect(), message }
        });
        wrong_times.chain(ignored).collect()
    }

    /// Selects what is delivered: the channel, or the mix of all, of each of these tracks of the analysis.
    ///
    /// # Errors
    /// `worker.internal` for a rate that can't be resampled.
    pub fn select(&mut self, selections: &[&Track]) -> Result<Aligned<'_>, Failure> {
        let (begin_s, several) = (self.begin_s(), self.tracks.len() > 1);
        let decoded = self.decoders().map(Decoder::channels).sum();
        let placed = self.tracks.iter_mut().enumerate().filter_map(|(number, track)| {
            let decoder = track.decoder.as_mut().ok().filter(|decoder| decoder.has_samples())?;
            let start_s = start_s(decoder, begin_s);
            let number = several.then_some(number);
            Some(PlacedTrack { decoder, channels: track.channels.clone(), number, start_s })
        });
        Aligned::new(placed, selections, decoded, self.max_seconds)
    }

    /// The timestamp at which the recording begins, seconds: that of the first packet of any track. What a track's edit
    /// list puts before it is part of the recording.
    fn begin_s(&self) -> f64 {
        self.decoders().filter(|d| d.has_samples()).map(Decoder::stamp_s).reduce(f64::min).unwrap_or(0.0)
    }

    fn decoders(&self) -> impl Iterator<Item = &Decoder> {
        self.tracks.iter().filter_map(|track| track.decoder.as_ref().ok())
    }
}

impl AudioTrack {
    /// `begin_s`: the timestamp at which the recording begins, seconds.
    fn facts(&self, begin_s: f64) -> AudioTrackFacts {
        let channels = self.channels.clone().collect();
        match &self.decoder {
            Ok(decoder) => {
                let AudioFacts { codec, sample_rate, duration_s, .. } = decoder.facts();
                let start_s = start_s(decoder, begin_s);
                AudioTrackFacts { channels, codec: Some(codec), sample_rate, start_s, duration_s, failure: None }
            }
            Err(failure) => AudioTrackFacts {
                channels,
                sample_rate: self.declared_rate,
                failure: Some(failure.clone()),
                ..AudioTrackFacts::default()
            },
        }
    }
}

/// Seconds from the recording's beginning to a track's.
fn start_s(decoder: &Decoder, begin_s: f64) -> f64 {
    let start_s = decoder.start_s() - begin_s;
    if start_s < SAME_BEGIN_S { 0.0 } else { start_s }
}
