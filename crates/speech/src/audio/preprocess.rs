//! The stages in a row: decode, select and resample the scored channels, find speech, cut it into segments.

use super::align::Aligned;
use super::errors;
use super::recording::Recording;
use super::separation::{Comparison, Separation};
use super::sink::{Sink, SpeechSegment};
use super::stage_times::{StageTimes, TimedSink};
use super::vad::{SpeechTracks, VoiceDetector};
use crate::framing::MIN_SAMPLES;
use crate::settings;
use domain::channel::Track;
use domain::report::AudioFacts;
use domain::{Failure, FailureCode, Role, Warning, WarningCode};
use std::collections::BTreeSet;
use std::fs::File;
use std::time::Instant;

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
    /// Of each track: root mean square of its loudest second, dB of full scale. `None` for digital silence, and for
    /// tracks that are not scored.
    pub levels: Vec<Option<f32>>,
    /// Indices of tracks whose speech was found only after the sound was amplified.
    pub amplified: Vec<usize>,
    /// Time of each stage.
    pub times: StageTimes,
    /// What is wrong with the file.
    pub(super) of_file: Vec<Warning>,
    /// Pairs of tracks that hold the same sound; their role is [`Role::Mixed`].
    pub(super) same: Vec<Comparison>,
}

impl Preprocessed {
    /// Refuses channels that turned out to be a mix where the operator scores no mix.
    ///
    /// # Errors
    /// `channels.none_scored`.
    pub(crate) fn check_mixed(&self, score_roles: &BTreeSet<Role>) -> Result<(), Failure> {
        let scored = |compared: &&Comparison| compared.channels.iter().any(|track| self.tracks[*track].scored);
        match self.same.iter().find(scored) {
            Some(compared) if !score_roles.contains(&Role::Mixed) => {
                let what = format!("{}; `analysis.score_roles` has no mixed", self.not_separated(compared).message);
                Err(Failure::new(FailureCode::ChannelsNoneScored, what))
            }
            _ => Ok(()),
        }
    }

    /// What makes the result worth less.
    pub fn warnings(&self) -> Vec<Warning> {
        let quiet = self.amplified.iter().map(|track| self.too_quiet(*track));
        let mixed = self.same.iter().map(|compared| self.not_separated(compared));
        self.of_file.iter().cloned().chain(mixed).chain(quiet).collect()
    }

    fn not_separated(&self, compared: &Comparison) -> Warning {
        let mut channels: Vec<u16> = compared.channels.iter().filter_map(|track| self.tracks[*track].channel).collect();
        channels.sort_unstable();
        let names: Vec<_> = channels.iter().map(u16::to_string).collect();
        let message = format!(
            "channels {} hold the same sound (correlation {:.2}): no speaker is alone on one of them, so their role is mixed",
            names.join(" and "),
            compared.correlation.min(1.0),
        );
        Warning { code: WarningCode::ChannelsNotSeparated, channels, message }
    }

    fn too_quiet(&self, track: usize) -> Warning {
        let channel = self.tracks[track].channel;
        let name = channel.map_or_else(|| "the mix of the channels".to_owned(), |channel| format!("channel {channel}"));
        let level = self.levels[track].unwrap_or(f32::NEG_INFINITY);
        let message = format!("the loudest second of {name} has {level:.0} dB of full scale: amplified to find speech");
        Warning { code: WarningCode::AudioTooQuiet, channels: channel.into_iter().collect(), message }
    }
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
        layout: impl FnOnce(u16) -> Result<Vec<Track>, Failure>,
        sink: &mut dyn Sink,
    ) -> Result<Preprocessed, Failure> {
        let again = file.try_clone().map_err(|e| errors::unreadable(&e))?;
        let mut recording = Recording::open(file, self.audio)?;
        if !recording.has_samples() {
            return Err(errors::too_short("the recording holds no samples"));
        }
        let channels = recording.channels();
        let mut tracks = layout(channels)?;
        let scored = scored_tracks(&recording, &mut tracks, channels)?;
        let mut speech = SpeechTracks::new(&scored, self.segment, self.vad.acquire()?);
        let (mut times, mut sink) = (StageTimes::default(), TimedSink::new(sink));
        let compared = read_all(&mut recording, &tracks, &scored, &mut speech, &mut sink, &mut times)?;
        if speech.samples() < MIN_SAMPLES as u64 {
            let what = format!(
                "the recording holds {} samples at 16 kHz; at least {MIN_SAMPLES} are needed",
                speech.samples()
            );
            return Err(errors::too_short(what));
        }
        let mut levels = vec![None; tracks.len()];
        let mut quiet = Vec::new();
        let ends = detecting(&mut sink, &mut times, |sink| speech.finish(sink))?;
        for (track, end) in scored.iter().zip(ends) {
            levels[*track] = end.level_dbfs;
            match end.gain {
                // Amplified, crosstalk of another channel would be taken for speech of this one.
                Some(gain) if !compared.iter().any(|other| other.is_crosstalk_on(*track)) => {
                    quiet.push((*track, gain, end.held));
                }
                _ => end.held.into_iter().try_for_each(|segment| sink.segment(segment))?,
            }
        }
        let same: Vec<Comparison> = compared.into_iter().filter(|compared| compared.same).collect();
        for track in same.iter().flat_map(|compared| compared.channels) {
            tracks[track].role = Role::Mixed;
        }
        let amplified = self.read_amplified(again, &tracks, quiet, &mut sink, &mut times)?;
        let of_file = recording.warnings();
        Ok(Preprocessed { facts: recording.facts(), tracks, levels, amplified, times, of_file, same })
    }

    /// Reads quiet tracks again, and finds their speech in the amplified sound. Returns those where there was some.
    fn read_amplified(
        &self,
        file: File,
        tracks: &[Track],
        quiet: Vec<(usize, f32, Vec<SpeechSegment>)>,
        sink: &mut TimedSink<'_>,
        times: &mut StageTimes,
    ) -> Result<Vec<usize>, Failure> {
        if quiet.is_empty() {
            return Ok(Vec::new());
        }
        let (numbers, gains): (Vec<usize>, Vec<(usize, f32)>) =
            quiet.iter().map(|(track, gain, _)| (*track, (*track, *gain))).unzip();
        let mut segments = SegmentsOnly { sink, found: Vec::new() };
        let mut timed = TimedSink::new(&mut segments);
        let mut speech = SpeechTracks::amplified(&gains, self.segment, self.vad.acquire()?);
        let mut recording = Recording::open(file, self.audio)?;
        read(&mut recording, tracks, &numbers, &mut speech, &mut timed, times)?;
        detecting(&mut timed, times, |sink| speech.finish(sink))?;
        let SegmentsOnly { sink, found } = segments;
        for (track, _, held) in quiet {
            // What was found without amplification counts where amplification finds nothing.
            if !found.contains(&track) {
                held.into_iter().try_for_each(|segment| sink.segment(segment))?;
            }
        }
        Ok(numbers.into_iter().filter(|track| found.contains(track)).collect())
    }
}

/// Takes all samples of the scored tracks through `speech`, and compares all channels with each other.
fn read_all(
    recording: &mut Recording,
    tracks: &[Track],
    scored: &[usize],
    speech: &mut SpeechTracks<'_>,
    sink: &mut TimedSink<'_>,
    times: &mut StageTimes,
) -> Result<Vec<Comparison>, Failure> {
    let channel = |n: &usize| tracks[*n].channel.is_some_and(|number| recording.failure(number).is_none());
    let others = (0..tracks.len()).filter(|n| !scored.contains(n)).filter(channel);
    let all: Vec<usize> = scored.iter().copied().chain(others).collect();
    let Some(mut separation) = Separation::of(all.len()) else {
        return read(recording, tracks, scored, speech, sink, times).map(|()| Vec::new());
    };
    let mut at_16k = vec![Vec::new(); all.len()];
    let selections: Vec<&Track> = all.iter().map(|n| &tracks[*n]).collect();
    let mut samples = recording.select(&selections)?;
    while decoding(&mut samples, &mut at_16k, times)? {
        separation.push(&at_16k);
        detecting(sink, times, |sink| speech.push(&mut at_16k[..scored.len()], sink))?;
    }
    let mut compared = separation.finish();
    for comparison in &mut compared {
        comparison.channels = comparison.channels.map(|number| all[number]);
    }
    Ok(compared)
}

/// Takes all samples of the selected tracks through `speech`.
fn read(
    recording: &mut Recording,
    tracks: &[Track],
    selected: &[usize],
    speech: &mut SpeechTracks<'_>,
    sink: &mut TimedSink<'_>,
    times: &mut StageTimes,
) -> Result<(), Failure> {
    let mut at_16k = vec![Vec::new(); selected.len()];
    let selections: Vec<&Track> = selected.iter().map(|n| &tracks[*n]).collect();
    let mut samples = recording.select(&selections)?;
    while decoding(&mut samples, &mut at_16k, times)? {
        detecting(sink, times, |sink| speech.push(&mut at_16k, sink))?;
    }
    Ok(())
}

/// Takes the next samples, and counts the time.
fn decoding(samples: &mut Aligned<'_>, at_16k: &mut [Vec<f32>], times: &mut StageTimes) -> Result<bool, Failure> {
    let (begun, before) = (Instant::now(), samples.resampling());
    let more = samples.next(at_16k)?;
    let resample = samples.resampling().saturating_sub(before);
    times.resample += resample;
    times.decode += begun.elapsed().saturating_sub(resample);
    Ok(more)
}

/// Looks for speech, and counts the time but for what the sink takes.
fn detecting<T>(
    sink: &mut TimedSink<'_>,
    times: &mut StageTimes,
    detect: impl FnOnce(&mut TimedSink<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (begun, before) = (Instant::now(), sink.spent);
    let found = detect(sink)?;
    times.detect += begun.elapsed().saturating_sub(sink.spent.saturating_sub(before));
    Ok(found)
}

/// Passes segments on, and no audio: that of the first reading is stored.
struct SegmentsOnly<'a, 'b> {
    sink: &'a mut TimedSink<'b>,
    /// Tracks that have a segment.
    found: Vec<usize>,
}

impl Sink for SegmentsOnly<'_, '_> {
    fn block(&mut self, _: &[Vec<f32>]) -> Result<(), Failure> {
        self.sink.block(&[])
    }

    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure> {
        if !self.found.contains(&segment.track) {
            self.found.push(segment.track);
        }
        self.sink.segment(segment)
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
