//! The stages in a row: decode, select the scored channels, resample, find speech, cut it into segments.

use super::decode::Decoder;
use super::errors;
use super::resample::Resampler16k;
use super::sink::Sink;
use super::vad::{SpeechTracks, VoiceDetector};
use crate::framing::MIN_SAMPLES;
use crate::settings;
use domain::channel::Track;
use domain::report::AudioFacts;
use domain::{Failure, FailureCode};
use std::fs::File;

/// What preprocessing needs besides the file.
#[derive(Debug, Clone, Copy)]
pub struct Preprocess<'a> {
    /// Limits.
    pub audio: &'a settings::Audio,
    /// How speech is cut into segments.
    pub segment: &'a settings::Segment,
    /// Voice activity detection.
    pub vad: &'a VoiceDetector,
}

/// What preprocessing found out about a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessed {
    /// As found by the file's content.
    pub facts: AudioFacts,
    /// As returned by `layout`.
    pub tracks: Vec<Track>,
}

impl Preprocess<'_> {
    /// Reads `file` from its beginning to its end. `layout` gets the number of channels and returns the tracks
    /// to make of them.
    ///
    /// # Errors
    /// An `audio.*` or `channels.*` failure of the recording, or the sink's error.
    pub fn run(
        &self,
        file: File,
        layout: impl FnOnce(u16) -> Vec<Track>,
        sink: &mut dyn Sink,
    ) -> Result<Preprocessed, Failure> {
        let mut decoder = Decoder::open(file, self.audio)?;
        let AudioFacts { sample_rate, channels, .. } = decoder.facts();
        if sample_rate == 0 {
            return Err(errors::too_short("the recording holds no samples"));
        }
        let tracks = layout(channels);
        let scored: Vec<usize> = (0..tracks.len()).filter(|n| tracks[*n].scored).collect();
        if scored.is_empty() {
            let what = format!("none of the {channels} channels has a role that is scored");
            return Err(Failure::new(FailureCode::ChannelsNoneScored, what));
        }
        let mut resampler = Resampler16k::new(sample_rate, scored.len())?;
        let mut speech = SpeechTracks::new(&scored, self.segment, self.vad.acquire()?);
        let mut selected = vec![Vec::new(); scored.len()];
        let mut at_16k = vec![Vec::new(); scored.len()];
        while let Some(channels) = decoder.next()? {
            for (samples, track) in selected.iter_mut().zip(&scored) {
                select(channels, tracks[*track].channel, samples);
            }
            resampler.push(&selected, &mut at_16k)?;
            speech.push(&mut at_16k, sink)?;
        }
        resampler.finish(&mut at_16k)?;
        speech.push(&mut at_16k, sink)?;
        if speech.samples() < MIN_SAMPLES as u64 {
            let what = format!(
                "the recording holds {} samples at 16 kHz; at least {MIN_SAMPLES} are needed",
                speech.samples()
            );
            return Err(errors::too_short(what));
        }
        speech.finish(sink)?;
        Ok(Preprocessed { facts: decoder.facts(), tracks })
    }
}

/// One channel, or the average of all. A channel that does not exist is silent.
fn select(channels: &[Vec<f32>], number: Option<u16>, samples: &mut Vec<f32>) {
    let count = channels.first().map_or(0, Vec::len);
    samples.clear();
    match number.map(|number| channels.get(usize::from(number))) {
        Some(Some(channel)) => samples.extend_from_slice(channel),
        Some(None) => samples.resize(count, 0.0),
        None => {
            let share = 1.0 / channels.len().max(1) as f32;
            samples.extend((0..count).map(|n| channels.iter().map(|channel| channel[n]).sum::<f32>() * share));
        }
    }
}
