//! All audio tracks of a file, side by side: their channels are numbered on, and each is resampled by itself, so that
//! tracks of other rates, codecs and lengths stay aligned. Each track has a demuxer of its own, which bounds memory
//! whatever the order of the tracks' packets.

use super::decode::Decoder;
use super::errors;
use super::resample::Resampler16k;
use crate::framing::SAMPLE_RATE;
use crate::settings;
use domain::channel::Track;
use domain::report::{AudioFacts, AudioTrackFacts};
use domain::{Failure, FailureCode};
use std::fs::File;
use std::ops::Range;

/// Samples at 16 kHz delivered at once at most: a second.
const LARGEST_BLOCK: u64 = SAMPLE_RATE as u64;

/// Seconds by which tracks may begin apart and still count as beginning together: encoders write the first packet's
/// time in different ways.
const SAME_BEGIN_S: f64 = 0.12;

/// An open file with all its audio tracks.
pub(super) struct Recording {
    tracks: Vec<AudioTrack>,
    max_seconds: f64,
}

/// One audio track.
struct AudioTrack {
    /// Numbers of its channels. A track that can't be decoded counts as one channel.
    channels: Range<u16>,
    decoder: Result<Decoder, Failure>,
    feed: Feed,
}

impl Recording {
    /// Opens all audio tracks of `file`, whatever its format.
    ///
    /// # Errors
    /// An `audio.*` failure of the file, or of its first track when none can be decoded.
    pub(super) fn open(file: File, limits: &settings::Audio) -> Result<Self, Failure> {
        let (layout, file) = Decoder::layout(file, limits)?;
        let count = layout.track_count();
        check_channels(count, limits)?;
        let (mut tracks, mut next) = (Vec::new(), 0u16);
        for number in 0..count {
            let file = file.try_clone().map_err(|e| errors::unreadable(&e))?;
            let decoder = match Decoder::open_track(file, &layout, number, limits) {
                Err(failure) if count == 1 || !is_of_track(&failure) => return Err(failure),
                decoder => decoder.map_err(|failure| of_track(number, &failure)),
            };
            let channels = decoder.as_ref().map_or(1, Decoder::channels);
            check_channels(usize::from(next) + usize::from(channels), limits)?;
            tracks.push(AudioTrack { channels: next..next + channels, decoder, feed: Feed::default() });
            next += channels;
        }
        if tracks.iter().all(|track| track.decoder.is_err())
            && let Some(failure) = tracks.iter().find_map(|track| track.decoder.as_ref().err())
        {
            return Err(failure.clone());
        }
        Ok(Self { tracks, max_seconds: limits.max_seconds })
    }

    /// How many channels the tracks have together.
    pub(super) fn channels(&self) -> u16 {
        self.tracks.last().map_or(0, |track| track.channels.end)
    }

    /// Whether any track holds a sample.
    pub(super) fn has_samples(&self) -> bool {
        self.decoders().any(|decoder| decoder.facts().sample_rate > 0)
    }

    /// Why a channel has no sound, if its track can't be decoded.
    pub(super) fn failure(&self, channel: u16) -> Option<&Failure> {
        self.tracks.iter().find(|track| track.channels.contains(&channel))?.decoder.as_ref().err()
    }

    /// What the file is, as far as it was decoded.
    pub(super) fn facts(&self) -> AudioFacts {
        let Some(first) = self.decoders().next() else { return AudioFacts::default() };
        let facts = first.facts();
        if self.tracks.len() == 1 {
            return facts;
        }
        let begin = self.begin_s();
        AudioFacts {
            channels: self.channels(),
            duration_s: self.decoders().map(|d| start_s(d, begin) + d.facts().duration_s).fold(0.0, f64::max),
            bad_packets: self.decoders().map(|decoder| decoder.facts().bad_packets).sum(),
            tracks: self.tracks.iter().map(|track| track.facts(begin)).collect(),
            ..facts
        }
    }

    /// Selects what is delivered: the channel, or the mix of all, of each of these tracks of the analysis.
    ///
    /// # Errors
    /// `worker.internal` for a rate that can't be resampled.
    pub(super) fn select(&mut self, wanted: &[&Track]) -> Result<Aligned<'_>, Failure> {
        let decoded: usize = self.decoders().map(|decoder| usize::from(decoder.channels())).sum();
        let begin = self.begin_s();
        for track in &mut self.tracks {
            let Ok(decoder) = &track.decoder else { continue };
            let outputs = wanted.iter().enumerate().filter_map(|(place, wanted)| match wanted.channel {
                Some(channel) if track.channels.contains(&channel) => {
                    Some(Output { place, part: Part::Channel(usize::from(channel - track.channels.start)) })
                }
                Some(_) => None,
                None => Some(Output { place, part: Part::Mix(1.0 / decoded.max(1) as f32) }),
            });
            track.feed = Feed::new(decoder, outputs.collect(), start_s(decoder, begin))?;
        }
        Ok(Aligned { tracks: &mut self.tracks, position: 0, max_seconds: self.max_seconds })
    }

    /// When the first track with samples begins, seconds.
    fn begin_s(&self) -> f64 {
        let begins = self.decoders().filter(|decoder| decoder.facts().sample_rate > 0).map(Decoder::start_s);
        begins.reduce(f64::min).unwrap_or(0.0)
    }

    fn decoders(&self) -> impl Iterator<Item = &Decoder> {
        self.tracks.iter().filter_map(|track| track.decoder.as_ref().ok())
    }
}

impl AudioTrack {
    /// `begin`: when the first track begins, seconds.
    fn facts(&self, begin: f64) -> AudioTrackFacts {
        let channels = self.channels.clone().collect();
        match &self.decoder {
            Ok(decoder) => {
                let AudioFacts { codec, sample_rate, duration_s, .. } = decoder.facts();
                let start_s = start_s(decoder, begin);
                AudioTrackFacts { channels, codec: Some(codec), sample_rate, start_s, duration_s, failure: None }
            }
            Err(failure) => AudioTrackFacts { channels, failure: Some(failure.clone()), ..AudioTrackFacts::default() },
        }
    }
}

/// The selected channels at 16 kHz. Tracks that end early end with silence.
pub(super) struct Aligned<'a> {
    tracks: &'a mut [AudioTrack],
    /// Samples delivered.
    position: u64,
    max_seconds: f64,
}

impl Aligned<'_> {
    /// Appends the next samples to `at_16k`, equally many for each selection; false at the end.
    ///
    /// # Errors
    /// An `audio.*` failure of the file.
    pub(super) fn next(&mut self, at_16k: &mut [Vec<f32>]) -> Result<bool, Failure> {
        loop {
            let open = self.tracks.iter_mut().enumerate().filter(|(_, track)| !track.feed.ended);
            let Some((number, behind)) = open.min_by_key(|(_, track)| track.feed.end) else { break };
            if behind.feed.end > self.position {
                break;
            }
            let Ok(decoder) = &mut behind.decoder else { break };
            let pulled = behind.feed.pull(decoder);
            pulled.map_err(|failure| if self.tracks.len() == 1 { failure } else { of_track(number, &failure) })?;
        }
        let ends = |ended: bool| self.tracks.iter().filter(move |track| track.feed.ended == ended).map(|t| t.feed.end);
        let end = ends(false).min().or_else(|| ends(true).max()).unwrap_or(0);
        let count = end.saturating_sub(self.position).min(LARGEST_BLOCK);
        self.position += count;
        if self.position as f64 > self.max_seconds * f64::from(SAMPLE_RATE) + 1.0 {
            return Err(errors::too_long(self.max_seconds));
        }
        let from: Vec<usize> = at_16k.iter().map(Vec::len).collect();
        for samples in &mut *at_16k {
            samples.resize(samples.len() + count as usize, 0.0);
        }
        for track in &mut *self.tracks {
            track.feed.add_to(at_16k, &from, count as usize);
        }
        Ok(count > 0)
    }
}

/// What of one audio track is delivered, and its samples that are still to be delivered.
struct Feed {
    outputs: Vec<Output>,
    /// Absent when nothing of the track is selected: it is decoded all the same, for its length and its faults.
    resampler: Option<Resampler16k>,
    rate: u32,
    selected: Vec<Vec<f32>>,
    at_16k: Vec<Vec<f32>>,
    /// Samples of silence before the track begins, still to be delivered.
    silence: u64,
    /// Samples of the track so far, at its own rate.
    input: u64,
    /// Samples at 16 kHz from the recording's beginning to the first where the track begins.
    start: u64,
    /// Samples at 16 kHz from the recording's beginning for which the track is known.
    end: u64,
    ended: bool,
}

struct Output {
    /// Index of the selection.
    place: usize,
    part: Part,
}

enum Part {
    /// A channel, by its number within the track.
    Channel(usize),
    /// All channels, each with this weight.
    Mix(f32),
}

impl Default for Feed {
    /// Of a track without samples.
    fn default() -> Self {
        Self {
            outputs: Vec::new(),
            resampler: None,
            rate: 1,
            selected: Vec::new(),
            at_16k: Vec::new(),
            silence: 0,
            input: 0,
            start: 0,
            end: 0,
            ended: true,
        }
    }
}

impl Feed {
    fn new(decoder: &Decoder, outputs: Vec<Output>, start_s: f64) -> Result<Self, Failure> {
        let rate = decoder.facts().sample_rate;
        if rate == 0 {
            return Ok(Self::default());
        }
        let start = (start_s * f64::from(SAMPLE_RATE)).round() as u64;
        let count = outputs.len();
        Ok(Self {
            resampler: (count > 0).then(|| Resampler16k::new(rate, count)).transpose()?,
            outputs,
            rate,
            selected: vec![Vec::new(); count],
            at_16k: vec![Vec::new(); count],
            silence: start,
            input: 0,
            start,
            end: start,
            ended: false,
        })
    }

    /// Decodes the next packet.
    fn pull(&mut self, decoder: &mut Decoder) -> Result<(), Failure> {
        let before = self.at_16k.first().map_or(0, Vec::len);
        if let Some(channels) = decoder.next()? {
            self.input += channels.first().map_or(0, Vec::len) as u64;
            for (samples, output) in self.selected.iter_mut().zip(&self.outputs) {
                output.part.read(channels, samples);
            }
            if let Some(resampler) = &mut self.resampler {
                resampler.push(&self.selected, &mut self.at_16k)?;
            }
        } else {
            self.ended = true;
            if let Some(resampler) = &mut self.resampler {
                resampler.finish(&mut self.at_16k)?;
            }
        }
        self.end = match self.at_16k.first() {
            Some(samples) => self.end + (samples.len() - before) as u64,
            None => self.start + self.input * u64::from(SAMPLE_RATE) / u64::from(self.rate),
        };
        Ok(())
    }

    /// Adds the next `count` samples, or silence, to each selection from `from` on.
    fn add_to(&mut self, selections: &mut [Vec<f32>], from: &[usize], count: usize) {
        let silence = self.silence.min(count as u64);
        self.silence -= silence;
        for (output, samples) in self.outputs.iter().zip(&mut self.at_16k) {
            let take = samples.len().min(count - silence as usize);
            let target = &mut selections[output.place][from[output.place] + silence as usize..];
            target.iter_mut().zip(samples.drain(..take)).for_each(|(to, from)| *to += from);
        }
    }
}

impl Part {
    /// Replaces `samples` by this part of `channels`.
    fn read(&self, channels: &[Vec<f32>], samples: &mut Vec<f32>) {
        let count = channels.first().map_or(0, Vec::len);
        samples.clear();
        match self {
            Self::Channel(number) => match channels.get(*number) {
                Some(channel) => samples.extend_from_slice(channel),
                None => samples.resize(count, 0.0),
            },
            Self::Mix(weight) => {
                samples.extend((0..count).map(|n| channels.iter().map(|channel| channel[n]).sum::<f32>() * weight));
            }
        }
    }
}

/// Seconds from the recording's beginning, where its first track begins, to that of a track.
fn start_s(decoder: &Decoder, begin: f64) -> f64 {
    let start = decoder.start_s() - begin;
    if start < SAME_BEGIN_S { 0.0 } else { start }
}

/// Whether a failure of one track leaves the others readable.
fn is_of_track(failure: &Failure) -> bool {
    use FailureCode::{AudioBadHeader, AudioCorrupt, AudioUnsupportedCodec};
    matches!(failure.code, AudioBadHeader | AudioCorrupt | AudioUnsupportedCodec)
}

fn of_track(number: usize, failure: &Failure) -> Failure {
    Failure::new(failure.code, format!("audio track {number}: {}", failure.message))
}

fn check_channels(channels: usize, limits: &settings::Audio) -> Result<(), Failure> {
    match limits.max_channels {
        most if channels > usize::from(most) => Err(errors::too_many_channels(channels, most)),
        _ => Ok(()),
    }
}
