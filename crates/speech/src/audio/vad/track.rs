//! Voice activity and segmentation of all scored tracks: samples at 16 kHz in, segments of speech out.

use super::level::{self, LevelMeter};
use super::second_pass::TrackVad;
use super::segmenter::{SegmentSamples, Segmenter};
use super::silero::PooledSession;
use super::spectrum::CHUNK;
use crate::audio::sink::{Sink, SpeechSegment};
use crate::framing::SAMPLE_RATE;
use crate::settings;
use domain::Failure;
use std::borrow::Cow;

/// Chunks of one run of the voice activity network, one second. One chunk a run would take several times as long, two seconds 5 % less.
const BLOCK: usize = 32;

/// Seconds of speech of a quiet track that wait for the track's end. A quiet track with more is understood well enough.
const MAX_HELD_S: u64 = 120;

/// All scored tracks.
pub(in crate::audio) struct SpeechTracks<'a> {
    vad: PooledSession<'a>,
    tracks: Vec<SpeechTrack>,
    samples: u64,
}

/// How a track ended.
pub(in crate::audio) struct TrackEnd {
    /// Root mean square of the loudest second, dB of full scale; `None`: digital silence.
    pub(in crate::audio) level_dbfs: Option<f32>,
    /// The track is quiet: amplified by this factor, more of its speech may be found.
    pub(in crate::audio) gain: Option<f32>,
    /// What was found of a quiet track's speech.
    pub(in crate::audio) held: Vec<SpeechSegment>,
}

/// One track.
struct SpeechTrack {
    track: usize,
    vad: TrackVad,
    gain: f32,
    segmenter: Segmenter,
    segments: Vec<SegmentSamples>,
    /// Samples of an incomplete block.
    rest: Vec<f32>,
    /// Number of the next segment.
    index: u32,
    level: LevelMeter,
    quiet_dbfs: f32,
    /// Segments of a track that is quiet so far: delivered once it is not.
    held: Vec<SpeechSegment>,
}

impl<'a> SpeechTracks<'a> {
    pub(in crate::audio) fn new(scored: &[usize], settings: &settings::Segment, vad: PooledSession<'a>) -> Self {
        let speech_track = |track: &usize| SpeechTrack::new(*track, settings, 1.0, settings.quiet_dbfs);
        Self { vad, tracks: scored.iter().map(speech_track).collect(), samples: 0 }
    }

    /// Tracks that were found to be quiet, each with the factor by which it is amplified for voice activity detection.
    pub(in crate::audio) fn amplified(
        quiet: &[(usize, f32)],
        settings: &settings::Segment,
        vad: PooledSession<'a>,
    ) -> Self {
        let speech_track = |(track, gain): &(usize, f32)| SpeechTrack::new(*track, settings, *gain, f32::NEG_INFINITY);
        Self { vad, tracks: quiet.iter().map(speech_track).collect(), samples: 0 }
    }

    /// Delivers the next samples and the segments that they complete; leaves `at_16k` empty.
    pub(in crate::audio) fn push(&mut self, at_16k: &mut [Vec<f32>], sink: &mut dyn Sink) -> Result<(), Failure> {
        let count = at_16k.first().map_or(0, Vec::len);
        if count == 0 {
            return Ok(());
        }
        self.samples += count as u64;
        // The resampler's filter overshoots a little at full scale.
        at_16k.iter_mut().flatten().for_each(|s| *s = s.clamp(-1.0, 1.0));
        sink.block(at_16k)?;
        for (track, samples) in self.tracks.iter_mut().zip(at_16k) {
            track.level.push(samples);
            track.rest.append(samples);
        }
        while self.waiting_chunks() >= BLOCK {
            self.detect(BLOCK)?;
            self.tracks.iter_mut().try_for_each(|track| track.deliver(sink))?;
        }
        Ok(())
    }

    /// Whole chunks that are to be looked at, of each track.
    fn waiting_chunks(&self) -> usize {
        self.tracks.first().map_or(0, |track| track.rest.len() / CHUNK)
    }

    /// Takes the first `chunks` chunks of each track's `rest` through voice activity detection and segmentation. Only the
    /// former gets the amplified sound.
    fn detect(&mut self, chunks: usize) -> Result<(), Failure> {
        let (mut vads, mut amplified) = (Vec::new(), Vec::new());
        for SpeechTrack { vad, rest, gain, .. } in &mut self.tracks {
            amplified.push(amplify(rest[..chunks * CHUNK].as_chunks().0, *gain));
            vads.push(vad);
        }
        let blocks: Vec<&[[f32; CHUNK]]> = amplified.iter().map(|block| &**block).collect();
        let found = TrackVad::of_tracks(&mut vads, &mut self.vad, &blocks)?;
        for (track, probabilities) in self.tracks.iter_mut().zip(found) {
            for (probability, chunk) in probabilities.into_iter().zip(track.rest.as_chunks::<CHUNK>().0) {
                track.segmenter.push(probability, chunk, &mut track.segments);
            }
            track.rest.drain(..chunks * CHUNK);
        }
        Ok(())
    }

    /// Samples at 16 kHz so far, per track.
    pub(in crate::audio) fn samples(&self) -> u64 {
        self.samples
    }

    /// Delivers the last segments, and tells how each track ended.
    pub(in crate::audio) fn finish(mut self, sink: &mut dyn Sink) -> Result<Vec<TrackEnd>, Failure> {
        self.detect(self.waiting_chunks())?;
        for track in &mut self.tracks {
            if !track.rest.is_empty() {
                let mut chunk = [0.0; CHUNK];
                chunk[..track.rest.len()].copy_from_slice(&track.rest);
                let probability = track.vad.probabilities(&mut self.vad, &[chunk.map(|s| s * track.gain)])?[0];
                track.segmenter.push(probability, &track.rest, &mut track.segments);
            }
            track.segmenter.finish(&mut track.segments);
            track.deliver(sink)?;
        }
        let end = |track: SpeechTrack| {
            let level_dbfs = track.level.dbfs();
            TrackEnd { level_dbfs, gain: level::gain(level_dbfs, track.quiet_dbfs), held: track.held }
        };
        Ok(self.tracks.into_iter().map(end).collect())
    }
}

impl SpeechTrack {
    fn new(track: usize, settings: &settings::Segment, gain: f32, quiet_dbfs: f32) -> Self {
        Self {
            track,
            vad: TrackVad::new(settings, gain),
            gain,
            segmenter: Segmenter::new(settings),
            segments: Vec::new(),
            rest: Vec::new(),
            index: 0,
            level: LevelMeter::default(),
            quiet_dbfs,
            held: Vec::new(),
        }
    }

    /// Delivers what is complete, unless the track is quiet so far.
    fn deliver(&mut self, sink: &mut dyn Sink) -> Result<(), Failure> {
        for SegmentSamples { start, samples } in self.segments.drain(..) {
            let end = start + samples.len() as u64;
            let index = self.index;
            self.index += 1;
            self.held.push(SpeechSegment { track: self.track, index, start_sample: start, end_sample: end, samples });
        }
        let held: u64 = self.held.iter().map(|segment| segment.samples.len() as u64).sum();
        if held > MAX_HELD_S * u64::from(SAMPLE_RATE) {
            self.quiet_dbfs = f32::NEG_INFINITY;
        }
        if level::gain(self.level.dbfs(), self.quiet_dbfs).is_some() {
            return Ok(());
        }
        self.held.drain(..).try_for_each(|segment| sink.segment(segment))
    }
}

/// The sound times `gain`, clipped to [-1, 1]: a copy only where that changes it.
fn amplify(chunks: &[[f32; CHUNK]], gain: f32) -> Cow<'_, [[f32; CHUNK]]> {
    if (gain - 1.0).abs() < f32::EPSILON {
        return Cow::Borrowed(chunks);
    }
    chunks.iter().map(|chunk| chunk.map(|s| (s * gain).clamp(-1.0, 1.0))).collect()
}
