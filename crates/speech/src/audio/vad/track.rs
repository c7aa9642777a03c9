//! SpeechTrack to the scored tracks: samples at 16 kHz in, segments of speech out.

use super::second_pass::TrackVad;
use super::segmenter::{Segment, Segmenter};
use super::silero::{Borrowed, CHUNK};
use crate::audio::sink::{Sink, SpeechSegment};
use crate::settings;
use domain::Failure;

/// Finds and cuts speech in all scored tracks.
pub(in crate::audio) struct SpeechTracks<'a> {
    vad: Borrowed<'a>,
    tracks: Vec<SpeechTrack>,
    segments: Vec<Segment>,
    position: u64,
}

/// One track.
struct SpeechTrack {
    track: usize,
    listener: TrackVad,
    segmenter: Segmenter,
    /// Samples short of a chunk.
    rest: Vec<f32>,
    /// Segments given.
    index: u32,
}

impl<'a> SpeechTracks<'a> {
    pub(in crate::audio) fn new(scored: &[usize], settings: &settings::Segment, vad: Borrowed<'a>) -> Self {
        let listening = |track: &usize| SpeechTrack {
            track: *track,
            listener: TrackVad::new(settings),
            segmenter: Segmenter::new(settings),
            rest: Vec::new(),
            index: 0,
        };
        Self { vad, tracks: scored.iter().map(listening).collect(), segments: Vec::new(), position: 0 }
    }

    /// Hands the samples on, listens to them, and leaves `at_16k` empty.
    pub(in crate::audio) fn take(&mut self, at_16k: &mut [Vec<f32>], sink: &mut dyn Sink) -> Result<(), Failure> {
        let count = at_16k.first().map_or(0, Vec::len);
        if count == 0 {
            return Ok(());
        }
        self.position += count as u64;
        // The resampler's filter overshoots a little at full scale.
        at_16k.iter_mut().flatten().for_each(|s| *s = s.clamp(-1.0, 1.0));
        sink.block(at_16k)?;
        for (track, samples) in self.tracks.iter_mut().zip(at_16k) {
            track.rest.append(samples);
            let whole = track.rest.len() - track.rest.len() % CHUNK;
            for chunk in track.rest[..whole].as_chunks().0 {
                let probability = track.listener.probability(&mut self.vad, chunk)?;
                track.segmenter.push(probability, chunk, &mut self.segments);
            }
            track.rest.drain(..whole);
            track.give(&mut self.segments, sink)?;
        }
        Ok(())
    }

    /// Samples at 16 kHz taken in, per track.
    pub(in crate::audio) fn position(&self) -> u64 {
        self.position
    }

    /// Gives the last segments.
    pub(in crate::audio) fn finish(mut self, sink: &mut dyn Sink) -> Result<(), Failure> {
        for track in &mut self.tracks {
            if !track.rest.is_empty() {
                let mut chunk = [0.0; CHUNK];
                chunk[..track.rest.len()].copy_from_slice(&track.rest);
                let probability = track.listener.probability(&mut self.vad, &chunk)?;
                track.segmenter.push(probability, &track.rest, &mut self.segments);
            }
            track.segmenter.finish(&mut self.segments);
            track.give(&mut self.segments, sink)?;
        }
        Ok(())
    }
}

impl SpeechTrack {
    fn give(&mut self, segments: &mut Vec<Segment>, sink: &mut dyn Sink) -> Result<(), Failure> {
        for Segment { start, samples } in segments.drain(..) {
            let end = start + samples.len() as u64;
            let index = self.index;
            self.index += 1;
            sink.segment(SpeechSegment { track: self.track, index, start_sample: start, end_sample: end, samples })?;
        }
        Ok(())
    }
}
