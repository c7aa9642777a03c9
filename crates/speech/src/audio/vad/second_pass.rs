//! The probability of speech on one track: Silero's, with a second pass at half speed for loud sound.
//!
//! Silero does not classify a scream as speech, and screams matter here. At half speed, an octave lower, the same
//! sound is speech to it, while music, tones and noise still are not. So sound that is loud, and is no speech at
//! normal speed, gets a second pass at half speed.

use super::level::energy;
use super::silero::{PooledSession, VadState};
use super::spectrum::CHUNK;
use crate::settings;
use domain::Failure;

/// Hangover of the second pass: quiet chunks, a quarter of a second, over which it continues. Its state must be
/// up to date for its probability to be good.
const HANGOVER_CHUNKS: u32 = 8;

/// Chunks after which sound that does not change, digital silence above all, is not looked at any more: a minute, in which
/// the network has come to rest.
const STILL_CHUNKS: u32 = 1_875;

/// Voice activity of one track.
pub(super) struct TrackVad {
    still: Still,
    threshold: f32,
    /// Factor by which the sound was amplified.
    gain: f32,
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
    /// `gain`: the sound is amplified by this factor before; whether it is loud is decided by what it was.
    pub(super) fn new(settings: &settings::Segment, gain: f32) -> Self {
        Self {
            still: Still::default(),
            threshold: settings.vad_threshold,
            gain,
            loud_rms: 10f32.powf(settings.scream_dbfs / 20.0),
            normal_speed: VadState::new(),
            half_speed: VadState::new(),
            previous_sample: 0.0,
            chunks_since_loud: u32::MAX,
            previous_probability: 0.0,
        }
    }

    /// The probability of speech in each of `chunks`, the next ones. The result does not depend on how chunks are
    /// divided into blocks. Hours of digital silence cost nothing.
    pub(super) fn probabilities(
        &mut self,
        vad: &mut PooledSession<'_>,
        chunks: &[[f32; CHUNK]],
    ) -> Result<Vec<f32>, Failure> {
        Ok(Self::of_tracks(&mut [self], vad, &[chunks])?.swap_remove(0))
    }

    /// The same of several tracks, with equally many chunks of each: in one run of the network.
    pub(super) fn of_tracks(
        tracks: &mut [&mut Self],
        vad: &mut PooledSession<'_>,
        blocks: &[&[[f32; CHUNK]]],
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let mut still: Vec<Vec<bool>> = Vec::with_capacity(tracks.len());
        for (track, chunks) in tracks.iter_mut().zip(blocks) {
            still.push(chunks.iter().map(|chunk| track.still.goes_on(chunk)).collect());
        }
        if still.iter().flatten().any(|still| *still) {
            let each = tracks.iter_mut().zip(blocks).zip(still);
            return each.map(|((track, chunks), still)| track.partly_still(vad, chunks, &still)).collect();
        }
        Self::moving(tracks, vad, blocks)
    }

    /// The probability of speech in each of `chunks`, some of which need no look.
    fn partly_still(
        &mut self,
        vad: &mut PooledSession<'_>,
        chunks: &[[f32; CHUNK]],
        is_still: &[bool],
    ) -> Result<Vec<f32>, Failure> {
        let mut probabilities = Vec::with_capacity(chunks.len());
        let mut begin = 0;
        for run in is_still.chunk_by(PartialEq::eq) {
            let end = begin + run.len();
            match self.still.probability.filter(|_| run[0]) {
                Some(probability) => probabilities.resize(end, probability),
                None => {
                    probabilities.extend(Self::moving(&mut [self], vad, &[&chunks[begin..end]])?.swap_remove(0));
                }
            }
            begin = end;
        }
        Ok(probabilities)
    }

    /// The probability of speech in each chunk of these tracks, by the network.
    fn moving(
        tracks: &mut [&mut Self],
        vad: &mut PooledSession<'_>,
        blocks: &[&[[f32; CHUNK]]],
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let mut states: Vec<&mut VadState> = tracks.iter_mut().map(|track| &mut track.normal_speed).collect();
        let mut probabilities = vad.of_tracks(&mut states, blocks)?;
        for ((track, chunks), probabilities) in tracks.iter_mut().zip(blocks).zip(&mut probabilities) {
            track.add_second_passes(vad, chunks, probabilities)?;
            track.still.probability = probabilities.last().copied().or(track.still.probability);
        }
        Ok(probabilities)
    }

    /// Raises the probabilities at normal speed where the second pass finds speech.
    fn add_second_passes(
        &mut self,
        vad: &mut PooledSession<'_>,
        chunks: &[[f32; CHUNK]],
        probabilities: &mut [f32],
    ) -> Result<(), Failure> {
        let passes = self.passes(vad, chunks, probabilities)?;
        for (probability, pass) in probabilities.iter_mut().zip(passes) {
            let previous = self.previous_probability;
            self.previous_probability = match pass {
                Pass::Speech => *probability,
                Pass::Quiet => 0.0,
                Pass::Second(second_pass) => {
                    *probability = probability.max(second_pass.min(previous));
                    second_pass
                }
            };
        }
        Ok(())
    }

    /// What happens with each chunk, with all second passes between two quiet chunks in one run: which chunks get one
    /// follows from loudness and from the probabilities at normal speed alone.
    fn passes(
        &mut self,
        vad: &mut PooledSession<'_>,
        chunks: &[[f32; CHUNK]],
        probabilities: &[f32],
    ) -> Result<Vec<Pass>, Failure> {
        let mut passes = Vec::with_capacity(chunks.len());
        let mut slowed = Vec::new();
        for (chunk, probability) in chunks.iter().zip(probabilities) {
            let rms = (energy(chunk) / CHUNK as f64).sqrt() as f32;
            self.chunks_since_loud =
                if rms > self.loud_rms * self.gain { 0 } else { self.chunks_since_loud.saturating_add(1) };
            if *probability >= self.threshold {
                passes.push(Pass::Speech);
            } else if self.chunks_since_loud > HANGOVER_CHUNKS {
                self.second_passes(vad, &mut slowed, &mut passes)?;
                // By the next loud chunk, the state would be that of another sound.
                self.half_speed = VadState::new();
                passes.push(Pass::Quiet);
            } else {
                slowed.extend(half_speed(self.previous_sample, chunk));
                passes.push(Pass::Second(f32::NAN)); // known after the run
            }
            self.previous_sample = chunk[CHUNK - 1];
        }
        self.second_passes(vad, &mut slowed, &mut passes)?;
        Ok(passes)
    }

    /// Runs `slowed`, two chunks for each of the last passes that are still unknown, and fills those in.
    fn second_passes(
        &mut self,
        vad: &mut PooledSession<'_>,
        slowed: &mut Vec<[f32; CHUNK]>,
        passes: &mut [Pass],
    ) -> Result<(), Failure> {
        let halves = vad.probabilities(&mut self.half_speed, slowed)?;
        let mut pairs = halves.as_chunks::<2>().0.iter().map(|[first, second]| first.min(*second));
        for pass in passes {
            if let Pass::Second(unknown) = pass
                && unknown.is_nan()
            {
                *unknown = pairs.next().unwrap_or(0.0);
            }
        }
        slowed.clear();
        Ok(())
    }
}

/// Whether a track repeats the same chunk.
struct Still {
    chunk: [f32; CHUNK],
    /// Chunks in a row that were the same as the one before.
    same: u32,
    /// The probability of speech in the last chunk.
    probability: Option<f32>,
}

impl Default for Still {
    fn default() -> Self {
        Self { chunk: [0.0; CHUNK], same: 0, probability: None }
    }
}

impl Still {
    /// Takes the next chunk; true from [`STILL_CHUNKS`] of the same on.
    fn goes_on(&mut self, chunk: &[f32; CHUNK]) -> bool {
        if *chunk == self.chunk {
            self.same = self.same.saturating_add(1);
        } else {
            (self.chunk, self.same) = (*chunk, 0);
        }
        self.same > STILL_CHUNKS
    }
}

/// What happens with one chunk.
#[derive(Debug, Clone, Copy)]
enum Pass {
    /// Speech at normal speed.
    Speech,
    /// No speech, and not loud.
    Quiet,
    /// No speech at normal speed, but loud: the lower of the two probabilities at half speed.
    Second(f32),
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
    use super::super::VoiceDetector;
    use super::*;
    use crate::runtime::Runtime;

    /// Tones, hiss and clicks, loud and quiet, for 8 s: much of it gets a second pass.
    fn loud_sounds() -> Vec<[f32; CHUNK]> {
        let mut noise = 1_u32;
        let sample = |n: usize| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (t, hiss) = (n as f32 / 16_000.0, (noise >> 8) as f32 / (1 << 24) as f32 - 0.5);
            let glide = (2.0 * std::f32::consts::PI * (300.0 + 200.0 * t) * t).sin();
            let level = if (n / 9_000).is_multiple_of(3) { 0.0005 } else { 0.4 };
            level * if (n / 20_000).is_multiple_of(2) { glide } else { hiss }
        };
        let samples: Vec<f32> = (0..250 * CHUNK).map(sample).collect();
        samples.as_chunks().0.to_vec()
    }

    fn detector() -> (crate::Settings, VoiceDetector) {
        let mut settings = crate::Settings::default();
        settings.runtime.onnxruntime = std::env::var_os("EMOFLEET__RUNTIME__ONNXRUNTIME").unwrap_or_default().into();
        let runtime = Runtime::load(&settings.runtime).expect("run ./test.sh, which fetches ONNX Runtime");
        let detector = VoiceDetector::load(&runtime).expect("the built-in network");
        (settings, detector)
    }

    #[test]
    fn probabilities_do_not_depend_on_how_chunks_are_divided_into_blocks() {
        let (settings, detector) = detector();
        let mut session = detector.acquire().expect("a session");
        let chunks = loud_sounds();
        let mut in_blocks_of = |size: usize| -> Vec<f32> {
            let mut vad = TrackVad::new(&settings.segment, 1.0);
            chunks.chunks(size).flat_map(|block| vad.probabilities(&mut session, block).expect("predicted")).collect()
        };
        let (single, blocks) = (in_blocks_of(1), in_blocks_of(32));
        assert_eq!(single.len(), chunks.len());
        let worst = single.iter().zip(&blocks).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{worst}");
        let normal = session.probabilities(&mut VadState::new(), &chunks).expect("predicted");
        assert!(normal.iter().zip(&single).any(|(a, b)| a != b), "no second pass changed anything: not a test");
    }

    fn moving(vad: &mut TrackVad, session: &mut PooledSession<'_>, block: &[[f32; CHUNK]]) -> Vec<f32> {
        TrackVad::moving(&mut [vad], session, &[block]).expect("predicted").swap_remove(0)
    }

    #[test]
    fn tracks_together_are_predicted_as_each_alone() {
        let (settings, detector) = detector();
        let mut session = detector.acquire().expect("a session");
        let (sounds, silence) = (loud_sounds(), vec![[0.0; CHUNK]; 2_000]);
        // For a while, one of them is still.
        let tracks = [[&sounds[..], &silence, &sounds].concat(), sounds.iter().cycle().take(2_500).copied().collect()];
        let new = || TrackVad::new(&settings.segment, 1.0);
        let alone = tracks.each_ref().map(|chunks| -> Vec<f32> {
            let mut vad = new();
            chunks.chunks(50).flat_map(|block| vad.probabilities(&mut session, block).expect("predicted")).collect()
        });
        let (mut first, mut second, mut together) = (new(), new(), [Vec::new(), Vec::new()]);
        for (a, b) in tracks[0].chunks(50).zip(tracks[1].chunks(50)) {
            let found = TrackVad::of_tracks(&mut [&mut first, &mut second], &mut session, &[a, b]).expect("predicted");
            together.iter_mut().zip(found).for_each(|(to, from)| to.extend(from));
        }
        for (alone, together) in alone.iter().zip(&together) {
            assert_eq!(alone.len(), together.len());
            let worst = alone.iter().zip(together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{worst}");
        }
    }

    #[test]
    fn silence_that_lasts_is_passed_over_and_what_follows_is_as_it_was() {
        let (settings, detector) = detector();
        let mut session = detector.acquire().expect("a session");
        let sounds = loud_sounds();
        let silence = vec![[0.0; CHUNK]; 6_000];
        let chunks = [&sounds[..], &silence, &sounds].concat();
        let mut vad = TrackVad::new(&settings.segment, 1.0);
        let passed: Vec<f32> =
            chunks.chunks(32).flat_map(|block| vad.probabilities(&mut session, block).expect("predicted")).collect();
        let mut vad = TrackVad::new(&settings.segment, 1.0);
        let all: Vec<f32> = chunks.chunks(32).flat_map(|block| moving(&mut vad, &mut session, block)).collect();
        assert_eq!(passed.len(), all.len());
        // The network's memory of silence has no end, but what it decides does not depend on it.
        let differ = passed.iter().zip(&all).filter(|(a, b)| (**a >= 0.5) != (**b >= 0.5)).count();
        assert!(differ <= 2, "{differ} chunks");
        let mut still = Still::default();
        let passed_over = chunks.iter().filter(|chunk| still.goes_on(chunk)).count();
        assert!(passed_over > 4_000, "{passed_over}");
    }

    #[test]
    fn half_speed_keeps_every_sample_and_continues_from_the_chunk_before() {
        let chunk: [f32; CHUNK] = std::array::from_fn(|n| n as f32);
        let out = half_speed(-2.0, &chunk);
        let flat = out.as_flattened();
        assert_eq!(flat[..4], [-1.0, 0.0, 0.5, 1.0]);
        assert!(flat.iter().skip(1).step_by(2).eq(&chunk));
    }
}
