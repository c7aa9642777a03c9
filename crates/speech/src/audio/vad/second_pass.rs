//! Whether somebody speaks on a track: Silero's answer, asked twice where it may be deaf.
//!
//! Silero does not take a scream for speech, and a scream is what this project is for. The same sound at half speed, an
//! octave lower, is speech to it, while music, tones and noise still are not. So sound that is loud, and no speech
//! at its own speed, is heard again at half speed.

use super::silero::{Borrowed, CHUNK, VadState};
use crate::settings;
use domain::Failure;

/// Chunks of quiet that the second hearing bridges, a quarter of a second: it needs to keep up to answer well.
const BRIDGED: u32 = 8;

/// Listens to one track.
pub(super) struct TrackVad {
    threshold: f32,
    /// Root mean square above which sound is loud.
    loud: f32,
    first: VadState,
    second: VadState,
    /// The sample before the chunk.
    before: f32,
    /// Chunks since it was loud.
    quiet: u32,
    /// How sure it was of the chunk before. A voice lasts, whereas the onset of a tone may sound like one for a moment.
    last: f32,
}

impl TrackVad {
    pub(super) fn new(settings: &settings::Segment) -> Self {
        Self {
            threshold: settings.vad_threshold,
            loud: 10f32.powf(settings.scream_dbfs / 20.0),
            first: VadState::new(),
            second: VadState::new(),
            before: 0.0,
            quiet: u32::MAX,
            last: 0.0,
        }
    }

    /// The probability that somebody speaks in `chunk`, the next 32 ms.
    pub(super) fn probability(&mut self, vad: &mut Borrowed<'_>, chunk: &[f32; CHUNK]) -> Result<f32, Failure> {
        let at_speed = vad.probability(&mut self.first, chunk)?;
        let level = (chunk.iter().map(|s| s * s).sum::<f32>() / CHUNK as f32).sqrt();
        self.quiet = if level > self.loud { 0 } else { self.quiet.saturating_add(1) };
        let slowed = slowed(self.before, chunk);
        self.before = chunk[CHUNK - 1];
        if at_speed >= self.threshold {
            self.last = at_speed;
            return Ok(at_speed);
        }
        if self.quiet > BRIDGED {
            // What it remembers is of another sound by the time that it is asked again.
            (self.second, self.last) = (VadState::new(), 0.0);
            return Ok(at_speed);
        }
        let [begins, ends] = slowed;
        let sure = vad.probability(&mut self.second, &begins)?.min(vad.probability(&mut self.second, &ends)?);
        let before = std::mem::replace(&mut self.last, sure);
        Ok(at_speed.max(sure.min(before)))
    }
}

/// The chunk at half speed: between every two samples comes their mean.
fn slowed(before: f32, chunk: &[f32; CHUNK]) -> [[f32; CHUNK]; 2] {
    let mut out = [[0.0; CHUNK]; 2];
    let mut last = before;
    for (pair, sample) in out.as_flattened_mut().as_chunks_mut::<2>().0.iter_mut().zip(chunk) {
        *pair = [f32::midpoint(last, *sample), *sample];
        last = *sample;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_speed_keeps_every_sample_and_goes_on_from_the_chunk_before() {
        let chunk: [f32; CHUNK] = std::array::from_fn(|n| n as f32);
        let out = slowed(-2.0, &chunk);
        let flat = out.as_flattened();
        assert_eq!(flat[..4], [-1.0, 0.0, 0.5, 1.0]);
        assert!(flat.iter().skip(1).step_by(2).eq(&chunk));
    }
}
