//! The stages in a row: decode, keep the scored channels apart, resample, find speech, cut.

use super::decode::Decoder;
use super::resample::To16k;
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
    /// How speech is cut.
    pub segment: &'a settings::Segment,
    /// Hears where somebody speaks.
    pub vad: &'a VoiceDetector,
}

/// What a recording was.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessed {
    /// As found by its content.
    pub facts: AudioFacts,
    /// As `layout` gave them.
    pub tracks: Vec<Track>,
}

impl Preprocess<'_> {
    /// Reads `file` from its beginning to its end. `layout` is told how many channels there are
    /// and says which tracks to make of them.
    ///
    /// # Errors
    /// An `audio.*` or `channels.*` failure of the recording, or whatever the sink returned.
    pub fn run(
        &self,
        file: File,
        layout: impl FnOnce(u16) -> Vec<Track>,
        sink: &mut dyn Sink,
    ) -> Result<Preprocessed, Failure> {
        let mut decoder = Decoder::open(file, self.audio)?;
        let AudioFacts { sample_rate, channels, .. } = decoder.facts();
        if sample_rate == 0 {
            return Err(Failure::new(FailureCode::AudioTooShort, "the recording holds no samples"));
        }
        let tracks = layout(channels);
        let scored: Vec<usize> = (0..tracks.len()).filter(|n| tracks[*n].scored).collect();
        if scored.is_empty() {
            let what = format!("none of the {channels} channels has a role that is scored");
            return Err(Failure::new(FailureCode::ChannelsNoneScored, what));
        }
        let mut resampler = To16k::new(sample_rate, scored.len())?;
        let mut speech = SpeechTracks::new(&scored, self.segment, self.vad.borrow()?);
        let mut chosen = vec![Vec::new(); scored.len()];
        let mut at_16k = vec![Vec::new(); scored.len()];
        while let Some(channels) = decoder.next(self.audio)? {
            for (samples, track) in chosen.iter_mut().zip(&scored) {
                choose(channels, tracks[*track].channel, samples);
            }
            resampler.push(&chosen, &mut at_16k)?;
            speech.take(&mut at_16k, sink)?;
        }
        resampler.finish(&mut at_16k)?;
        speech.take(&mut at_16k, sink)?;
        if speech.position() < MIN_SAMPLES as u64 {
            let what = format!(
                "the recording holds {} samples at 16 kHz; at least {MIN_SAMPLES} are needed",
                speech.position()
            );
            return Err(Failure::new(FailureCode::AudioTooShort, what));
        }
        speech.finish(sink)?;
        Ok(Preprocessed { facts: decoder.facts(), tracks })
    }
}

/// One channel, or the average of all. A channel that is not there is silent.
fn choose(channels: &[Vec<f32>], number: Option<u16>, samples: &mut Vec<f32>) {
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
