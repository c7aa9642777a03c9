//! The probability of speech on one track: Silero's, with a second pass at half speed for loud sound.
//!
//! Silero does not classify a scream as speech, and screams matter here. At half speed, an octave lower, the same
//! sound is speech to it, while music, tones and noise still are not. So sound that is loud, and is no speech at
//! normal speed, gets a second pass at half speed.

use super::silero::{CHUNK, PooledSession, VadState};
use crate::settings;
use domain::Failure;

/// Hangover of the second pass: quiet chunks, a quarter of a second, over which it continues. Its state must be
/// up to date for its probability to be good.
const HANGOVER_CHUNKS: u32 = 8;

/// Voice activity of one track.
pub(super) struct TrackVad {
    threshold: f32,
    /// Root mean square above which sound is loud.
    loud_rms: f32,
    normal_speed: VadState,
    half_speed: VadState,
    /// The last sample of the chunk before.
    previous_sample: f32,
    chunks_since_loud: u32,
    /// The second pass's probability for the chunk before. A voice lasts, whereas the onset of a tone may look like
    /// speech for one chunk.
    previous_probability: f32,
}

impl TrackVad {
    pub(super) fn new(settings: &settings::Segment) -> Self {
        Self {
            threshold: settings.vad_threshold,
            loud_rms: 10f32.powf(settings.scream_dbfs / 20.0),
            normal_speed: VadState::new(),
            half_speed: VadState::new(),
            previous_sample: 0.0,
            chunks_since_loud: u32::MAX,
            previous_probability: 0.0,
        }
    }

    /// The probability of speech in `chunk`, the next 32 ms.
    pub(super) fn probability(&mut self, vad: &mut PooledSession<'_>, chunk: &[f32; CHUNK]) -> Result<f32, Failure> {
        let probability = vad.probability(&mut self.normal_speed, chunk)?;
        let rms = (chunk.iter().map(|s| s * s).sum::<f32>() / CHUNK as f32).sqrt();
        self.chunks_since_loud = if rms > self.loud_rms { 0 } else { self.chunks_since_loud.saturating_add(1) };
        let slowed = half_speed(self.previous_sample, chunk);
        self.previous_sample = chunk[CHUNK - 1];
        if probability >= self.threshold {
            self.previous_probability = probability;
            return Ok(probability);
        }
        if self.chunks_since_loud > HANGOVER_CHUNKS {
            // By the next loud chunk, the state would be that of another sound.
            (self.half_speed, self.previous_probability) = (VadState::new(), 0.0);
            return Ok(probability);
        }
        let [first, second] = slowed;
        let second_pass =
            vad.probability(&mut self.half_speed, &first)?.min(vad.probability(&mut self.half_speed, &second)?);
        let previous = std::mem::replace(&mut self.previous_probability, second_pass);
        Ok(probability.max(second_pass.min(previous)))
    }
}

/// The chunk at half speed: the mean of two neighbours is inserted between them.
fn half_speed(previous_sample: f32, chunk: &[f32; CHUNK]) -> [[f32; CHUNK]; 2] {
    let mut out = [[0.0; CHUNK]; 2];
    let mut last = previous_sample;
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
    fn half_speed_keeps_every_sample_and_continues_from_the_chunk_before() {
        let chunk: [f32; CHUNK] = std::array::from_fn(|n| n as f32);
        let out = half_speed(-2.0, &chunk);
        let flat = out.as_flattened();
        assert_eq!(flat[..4], [-1.0, 0.0, 0.5, 1.0]);
        assert!(flat.iter().skip(1).step_by(2).eq(&chunk));
    }
}
