//! Channels of several audio tracks side by side at 16 kHz: each track is resampled by itself, so that tracks of other
//! rates, codecs and lengths stay aligned.

use super::decode::Decoder;
use super::errors;
use super::resample::Resampler16k;
use crate::framing::SAMPLE_RATE;
use domain::Failure;
use domain::channel::Track;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Samples at 16 kHz delivered at once at most: a second.
const LARGEST_BLOCK: u64 = SAMPLE_RATE as u64;

/// An audio track that has samples, and its place in the recording.
pub(super) struct PlacedTrack<'a> {
    pub(super) decoder: &'a mut Decoder,
    /// Numbers of its channels.
    pub(super) channels: Range<u16>,
    /// Its number, where the file has several.
    pub(super) number: Option<usize>,
    /// Seconds from the recording's beginning to the track's.
    pub(super) start_s: f64,
}

/// The selected channels at 16 kHz. Tracks that end early end with silence.
pub struct Aligned<'a> {
    feeds: Vec<Feed<'a>>,
    /// Samples delivered.
    position: u64,
    max_seconds: f64,
    resampling: Duration,
}

impl<'a> Aligned<'a> {
    /// `selections`: the channel, or the mix of all `channels` channels, of each output.
    ///
    /// # Errors
    /// `worker.internal` for a rate that can't be resampled.
    pub(super) fn new(
        tracks: impl Iterator<Item = PlacedTrack<'a>>,
        selections: &[&Track],
        channels: u16,
        max_seconds: f64,
    ) -> Result<Self, Failure> {
        let feed = |track: PlacedTrack<'a>| {
            let part = |selection: &Track| match selection.channel {
                Some(channel) if track.channels.contains(&channel) => {
                    Some(Part::Channel(usize::from(channel - track.channels.start)))
                }
                Some(_) => None,
                None => Some(Part::Mix(1.0 / f32::from(channels.max(1)))),
            };
            let outputs = selections.iter().enumerate();
            let outputs = outputs.filter_map(|(place, selection)| Some(Output { place, part: part(selection)? }));
            let outputs = outputs.collect();
            Feed::new(track, outputs)
        };
        Ok(Self {
            feeds: tracks.map(feed).collect::<Result<_, _>>()?,
            position: 0,
            max_seconds,
            resampling: Duration::ZERO,
        })
    }

    /// Replaces `at_16k` by the next samples, equally many for each selection; false at the end.
    ///
    /// # Errors
    /// An `audio.*` failure of the file.
    pub fn next(&mut self, at_16k: &mut [Vec<f32>]) -> Result<bool, Failure> {
        let open = |feed: &&mut Feed<'_>| !feed.ended;
        while let Some(behind) = self.feeds.iter_mut().filter(open).min_by_key(|feed| feed.end)
            && behind.end <= self.position
        {
            behind.pull(&mut self.resampling)?;
        }
        let ends = |ended: bool| self.feeds.iter().filter(move |feed| feed.ended == ended).map(|feed| feed.end);
        let end = ends(false).min().or_else(|| ends(true).max()).unwrap_or(0);
        let count = end.saturating_sub(self.position).min(LARGEST_BLOCK);
        for block in &mut *at_16k {
            block.clear();
            block.resize(count as usize, 0.0);
        }
        for feed in &mut self.feeds {
            feed.add_to(at_16k);
        }
        self.position += count;
        if self.position > sample_count(self.max_seconds).saturating_add(1) {
            return Err(errors::too_long(self.max_seconds));
        }
        Ok(count > 0)
    }
}

impl Aligned<'_> {
    /// Time spent on resampling so far.
    pub(super) fn resampling(&self) -> Duration {
        self.resampling
    }
}

/// One audio track, and its samples that are still to be delivered.
struct Feed<'a> {
    track: PlacedTrack<'a>,
    outputs: Vec<Output>,
    /// Absent when nothing of the track is selected: it is decoded all the same, for its length and its faults.
    resampler: Option<Resampler16k>,
    /// The outputs of one packet, at the track's rate.
    selected: Vec<Vec<f32>>,
    /// The outputs at 16 kHz: the samples up to `end`, of which the first `delivered` are delivered.
    at_16k: Vec<Vec<f32>>,
    delivered: usize,
    /// Samples at 16 kHz from the recording's beginning up to which the track is decoded. No block goes past it before
    /// the track has ended.
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

impl<'a> Feed<'a> {
    fn new(track: PlacedTrack<'a>, outputs: Vec<Output>) -> Result<Self, Failure> {
        let (rate, count) = (track.decoder.facts().sample_rate, outputs.len());
        Ok(Self {
            resampler: (count > 0).then(|| Resampler16k::new(rate, count)).transpose()?,
            outputs,
            selected: vec![Vec::new(); count],
            at_16k: vec![Vec::new(); count],
            delivered: 0,
            end: sample_count(track.start_s),
            ended: false,
            track,
        })
    }

    /// Decodes the next packet.
    fn pull(&mut self, resampling: &mut Duration) -> Result<(), Failure> {
        let before = self.at_16k.first().map_or(0, Vec::len);
        let packet = self.track.decoder.next().map_err(|failure| match self.track.number {
            Some(number) => errors::of_track(number, &failure),
            None => failure,
        })?;
        match (packet, &mut self.resampler) {
            (Some(channels), Some(resampler)) => {
                for (samples, output) in self.selected.iter_mut().zip(&self.outputs) {
                    output.part.read(channels, samples);
                }
                let begun = Instant::now();
                resampler.push(&self.selected, &mut self.at_16k)?;
                *resampling += begun.elapsed();
            }
            (Some(_), None) => {}
            (None, resampler) => {
                self.ended = true;
                if let Some(resampler) = resampler {
                    resampler.finish(&mut self.at_16k)?;
                }
            }
        }
        self.end = match self.at_16k.first() {
            Some(samples) => self.end + (samples.len() - before) as u64,
            None => sample_count(self.track.start_s + self.track.decoder.duration_s()),
        };
        Ok(())
    }

    /// Adds the next samples to the blocks of its outputs: none before the track begins or after it has ended.
    fn add_to(&mut self, blocks: &mut [Vec<f32>]) {
        let mut added = 0;
        for (output, samples) in self.outputs.iter().zip(&self.at_16k) {
            let block = &mut blocks[output.place];
            added = block.iter_mut().zip(&samples[self.delivered..]).map(|(to, from)| *to += from).count();
        }
        self.delivered += added;
        // Not with each block: of a packet of minutes, the rest would be moved for each second.
        if self.at_16k.first().is_some_and(|samples| self.delivered * 2 >= samples.len()) {
            self.at_16k.iter_mut().for_each(|samples| drop(samples.drain(..self.delivered)));
            self.delivered = 0;
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

/// Samples at 16 kHz of these seconds.
fn sample_count(seconds: f64) -> u64 {
    (seconds * f64::from(SAMPLE_RATE)).round() as u64
}
