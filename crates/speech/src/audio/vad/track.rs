//! Voice activity and segmentation of all scored tracks: samples at 16 kHz in, segments of speech out.

use super::second_pass::TrackVad;
use super::segmenter::{SegmentSamples, Segmenter};
use super::silero::{CHUNK, PooledSession};
use crate::audio::sink::{Sink, SpeechSegment};
use crate::settings;
use domain::Failure;

/// Chunks of one run of the voice activity network, one second. One chunk a run would take four times as long.
const BLOCK: usize = 32;

/// All scored tracks.
pub(in crate::audio) struct SpeechTracks<'a> {
    vad: PooledSession<'a>,
    tracks: Vec<SpeechTrack>,
    segments: Vec<SegmentSamples>,
    samples: u64,
}

/// One track.
struct SpeechTrack {
    track: usize,
    vad: TrackVad,
    segmenter: Segmenter,
    /// Samples of an incomplete block.
    rest: Vec<f32>,
    /// Number of the next segment.
    index: u32,
}

impl<'a> SpeechTracks<'a> {
    pub(in crate::audio) fn new(scored: &[usize], settings: &settings::Segment, vad: PooledSession<'a>) -> Self {
        let speech_track = |track: &usize| SpeechTrack {
            track: *track,
            vad: TrackVad::new(settings),
            segmenter: Segmenter::new(settings),
            rest: Vec::new(),
            index: 0,
        };
        Self { vad, tracks: scored.iter().map(speech_track).collect(), segments: Vec::new(), samples: 0 }
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
            track.rest.append(samples);
            while track.rest.len() >= BLOCK * CHUNK {
                track.detect(&mut self.vad, BLOCK, &mut self.segments)?;
                track.deliver(&mut self.segments, sink)?;
            }
        }
        Ok(())
    }

    /// Samples at 16 kHz so far, per track.
    pub(in crate::audio) fn samples(&self) -> u64 {
        self.samples
    }

    /// Delivers the last segments.
    pub(in crate::audio) fn finish(mut self, sink: &mut dyn Sink) -> Result<(), Failure> {
        for track in &mut self.tracks {
            track.detect(&mut self.vad, track.rest.len() / CHUNK, &mut self.segments)?;
            if !track.rest.is_empty() {
                let mut chunk = [0.0; CHUNK];
                chunk[..track.rest.len()].copy_from_slice(&track.rest);
                let probability = track.vad.probabilities(&mut self.vad, &[chunk])?[0];
                track.segmenter.push(probability, &track.rest, &mut self.segments);
            }
            track.segmenter.finish(&mut self.segments);
            track.deliver(&mut self.segments, sink)?;
        }
        Ok(())
    }
}

impl SpeechTrack {
    /// Takes the first `chunks` chunks of `rest` through voice activity detection and segmentation.
    fn detect(
        &mut self,
        vad: &mut PooledSession<'_>,
        chunks: usize,
        segments: &mut Vec<SegmentSamples>,
    ) -> Result<(), Failure> {
        let samples = &self.rest[..chunks * CHUNK];
        let block = samples.as_chunks().0;
        for (probability, chunk) in self.vad.probabilities(vad, block)?.into_iter().zip(block) {
            self.segmenter.push(probability, chunk, segments);
        }
        self.rest.drain(..chunks * CHUNK);
        Ok(())
    }

    fn deliver(&mut self, segments: &mut Vec<SegmentSamples>, sink: &mut dyn Sink) -> Result<(), Failure> {
        for SegmentSamples { start, samples } in segments.drain(..) {
            let end = start + samples.len() as u64;
            let index = self.index;
            self.index += 1;
            sink.segment(SpeechSegment { track: self.track, index, start_sample: start, end_sample: end, samples })?;
        }
        Ok(())
    }
}
