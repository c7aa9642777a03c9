//! The stages in a row: decode, select and resample the scored channels, find speech, cut it into segments.

use super::errors;
use super::recording::Recording;
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
        let mut recording = Recording::open(file, self.audio)?;
        if !recording.has_samples() {
            return Err(errors::too_short("the recording holds no samples"));
        }
        let channels = recording.channels();
        let mut tracks = layout(channels);
        let scored = scored_tracks(&recording, &mut tracks, channels)?;
        let mut speech = SpeechTracks::new(&scored, self.segment, self.vad.acquire()?);
        let mut at_16k = vec![Vec::new(); scored.len()];
        let selections: Vec<&Track> = scored.iter().map(|n| &tracks[*n]).collect();
        let mut samples = recording.select(&selections)?;
        while samples.next(&mut at_16k)? {
            speech.push(&mut at_16k, sink)?;
        }
        if speech.samples() < MIN_SAMPLES as u64 {
            let what = format!(
                "the recording holds {} samples at 16 kHz; at least {MIN_SAMPLES} are needed",
                speech.samples()
            );
            return Err(errors::too_short(what));
        }
        speech.finish(sink)?;
        Ok(Preprocessed { facts: recording.facts(), tracks })
    }
}

/// Indices of the tracks to score. Those whose audio track can't be decoded are taken out of scoring.
fn scored_tracks(recording: &Recording, tracks: &mut [Track], channels: u16) -> Result<Vec<usize>, Failure> {
    let mut undecodable = None;
    for track in tracks.iter_mut().filter(|track| track.scored) {
        if let Some(failure) = track.channel.and_then(|channel| recording.failure(channel)) {
            track.scored = false;
            undecodable.get_or_insert_with(|| failure.clone());
        }
    }
    let scored: Vec<usize> = (0..tracks.len()).filter(|n| tracks[*n].scored).collect();
    if !scored.is_empty() {
        return Ok(scored);
    }
    let none_scored = || {
        let what = format!("none of the {channels} channels has a role that is scored");
        Failure::new(FailureCode::ChannelsNoneScored, what)
    };
    Err(undecodable.unwrap_or_else(none_scored))
}
