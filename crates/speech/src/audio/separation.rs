//! Whether channels hold the same sound: a mix that was stored as stereo has nobody alone on a channel.
//!
//! Two channels hold the same sound when one is the other with another level or sign, a delay of up to 30 ms, and a
//! little noise. Both of these must hold, so that a call with crosstalk or echo is not taken for it:
//!
//! - their correlation over the whole recording, at the best delay, is at least 0.9. Crosstalk at -6 dB in both
//!   directions gives 0.8, at -20 dB 0.2; noise at -10 dB in a mix still gives 0.9;
//! - the seconds in which they correlate by themselves have nine tenths of the energy of each channel. Music or a
//!   prompt that both hear has the second, but not the rest of the call.
//!
//! Correlation is computed with Fourier transforms of about a second, above 100 Hz, so that the hum of the mains does
//! not count.

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::sync::Arc;

use crate::framing::SAMPLE_RATE;

/// Samples of one transform.
const BLOCK: usize = 16_384;
/// Longest delay between the channels, samples: 30 ms.
const MAX_DELAY: usize = 480;
/// Frequencies below do not count, Hz.
const LOWEST_HZ: usize = 100;
/// Least correlation over the whole recording.
const SAME: f64 = 0.9;
/// Least correlation of a block that counts as the same.
const SAME_IN_BLOCK: f64 = 0.85;
/// Least share of each channel's energy in such blocks.
const SAME_SHARE: f64 = 0.9;
/// Mean square below which a channel holds nothing to compare: -80 dB of full scale.
const NOTHING: f64 = 1e-8;
/// Most channels: the number of pairs grows with the square.
const MAX_CHANNELS: usize = 8;

/// Two channels, compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    /// Indices of the channels.
    pub(super) channels: [usize; 2],
    /// Over the whole recording at the best delay, 0 to 1; negative signs count as positive.
    pub(super) correlation: f64,
    /// They hold the same sound.
    pub(super) same: bool,
    /// Level of the second above that of the first, dB.
    pub(super) difference_db: f64,
}

/// Level by which crosstalk is below the voice that it comes from at least, dB.
const CROSSTALK_DB: f64 = 20.0;
/// Least correlation of crosstalk with that voice: an echo is filtered.
const CROSSTALK: f64 = 0.5;

impl Comparison {
    /// Whether one channel has little but crosstalk of the other.
    pub(super) fn is_crosstalk_on(&self, channel: usize) -> bool {
        let [first, second] = self.channels;
        let below = if channel == second { -self.difference_db } else { self.difference_db };
        (channel == first || channel == second) && below >= CROSSTALK_DB && self.correlation >= CROSSTALK
    }
}

/// Compares all channels with each other while they are read.
pub(super) struct Separation {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// Samples of the incomplete block.
    pending: Vec<Vec<f32>>,
    spectra: Vec<Vec<Complex<f32>>>,
    pairs: Vec<Pair>,
    blocks: u32,
}

struct Pair {
    channels: [usize; 2],
    /// Sum over all blocks.
    cross: Vec<Complex<f64>>,
    energy: [f64; 2],
    energy_of_same: [f64; 2],
}

impl Separation {
    /// For this many channels; `None` when there is nothing to compare.
    pub(super) fn of(channels: usize) -> Option<Self> {
        if !(2..=MAX_CHANNELS).contains(&channels) {
            return None;
        }
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(BLOCK);
        let bins = BLOCK / 2 + 1;
        let pair = |a, b| Pair {
            channels: [a, b],
            cross: vec![Complex::default(); bins],
            energy: [0.0; 2],
            energy_of_same: [0.0; 2],
        };
        Some(Self {
            inverse: planner.plan_fft_inverse(BLOCK),
            pending: vec![Vec::with_capacity(BLOCK); channels],
            spectra: vec![forward.make_output_vec(); channels],
            forward,
            pairs: (0..channels).flat_map(|a| (a + 1..channels).map(move |b| pair(a, b))).collect(),
            blocks: 0,
        })
    }

    /// Takes the next samples at 16 kHz, equally many for each channel.
    pub(super) fn push(&mut self, channels: &[Vec<f32>]) {
        let count = channels.first().map_or(0, Vec::len);
        let mut at = 0;
        while at < count {
            let take = (BLOCK - self.pending[0].len()).min(count - at);
            for (pending, samples) in self.pending.iter_mut().zip(channels) {
                pending.extend_from_slice(&samples[at..at + take]);
            }
            at += take;
            if self.pending[0].len() == BLOCK {
                self.block();
            }
        }
    }

    /// Every pair of channels that both hold some sound.
    pub(super) fn finish(mut self) -> Vec<Comparison> {
        // A part of a block counts only where there is no whole one.
        if self.blocks == 0 && !self.pending[0].is_empty() {
            self.pending.iter_mut().for_each(|samples| samples.resize(BLOCK, 0.0));
            self.block();
        }
        let audible = self.blocks as f64 * NOTHING * (BLOCK * BLOCK) as f64 / 2.0;
        let mut compared = Vec::new();
        for pair in &self.pairs {
            let [first, second] = pair.energy;
            if first <= audible || second <= audible {
                continue;
            }
            // Scaled, since the sum over hours would leave the range in which f32 is exact enough.
            let scale = 1.0 / (first * second).sqrt();
            let mut cross: Vec<_> =
                pair.cross.iter().map(|c| Complex::new((c.re * scale) as f32, (c.im * scale) as f32)).collect();
            let correlation = self.largest(&mut cross) / 2.0;
            let share = pair.energy_of_same.iter().zip(&pair.energy).map(|(same, all)| same / all).fold(1.0, f64::min);
            compared.push(Comparison {
                channels: pair.channels,
                correlation,
                same: correlation >= SAME && share >= SAME_SHARE,
                difference_db: 10.0 * (second / first).log10(),
            });
        }
        compared
    }

    fn block(&mut self) {
        for (samples, spectrum) in self.pending.iter_mut().zip(&mut self.spectra) {
            if samples.iter().all(|sample| *sample == 0.0) {
                samples.clear();
                spectrum.fill(Complex::default());
                continue;
            }
            self.forward.process(samples, spectrum).expect("the buffers were made for this transform");
            samples.clear();
            spectrum[..LOWEST_HZ * BLOCK / SAMPLE_RATE as usize].fill(Complex::default());
            spectrum[BLOCK / 2] = Complex::default();
        }
        self.blocks += 1;
        let energy: Vec<f64> =
            self.spectra.iter().map(|s| s.iter().map(|bin| f64::from(bin.norm_sqr())).sum()).collect();
        for number in 0..self.pairs.len() {
            let [a, b] = self.pairs[number].channels;
            if energy[a] == 0.0 && energy[b] == 0.0 {
                continue;
            }
            let mut cross: Vec<_> = self.spectra[a].iter().zip(&self.spectra[b]).map(|(a, b)| a.conj() * b).collect();
            let pair = &mut self.pairs[number];
            for (sum, bin) in pair.cross.iter_mut().zip(&cross) {
                *sum += Complex::new(f64::from(bin.re), f64::from(bin.im));
            }
            let both = [energy[a], energy[b]];
            pair.energy.iter_mut().zip(both).for_each(|(sum, energy)| *sum += energy);
            let largest = self.largest(&mut cross) / 2.0;
            // Digital silence correlates with nothing: what the other channel has meanwhile is its own.
            if both.iter().all(|energy| *energy > 0.0) && largest >= SAME_IN_BLOCK * (both[0] * both[1]).sqrt() {
                self.pairs[number].energy_of_same.iter_mut().zip(both).for_each(|(sum, energy)| *sum += energy);
            }
        }
    }

    /// The largest correlation within the longest delay, of either sign. Twice that of the half spectrum's energies.
    fn largest(&self, cross: &mut [Complex<f32>]) -> f64 {
        let mut correlation = self.inverse.make_output_vec();
        self.inverse.process(cross, &mut correlation).expect("the buffers were made for this transform");
        let near = correlation[..=MAX_DELAY].iter().chain(&correlation[BLOCK - MAX_DELAY..]);
        near.fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: usize = 12;
    const COUNT: usize = SECONDS * SAMPLE_RATE as usize;

    /// Sound like a voice: filtered noise in syllables, loud in the given seconds and silent in the others.
    fn voice(seed: u32, speaks: impl Fn(usize) -> bool) -> Vec<f32> {
        let (mut state, mut low, mut lower) = (seed, 0.0_f32, 0.0_f32);
        let sample = |n: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            low += 0.3 * (noise - low);
            lower += 0.05 * (low - lower);
            let syllable = (n as f32 * 0.0015 + seed as f32).sin().max(0.0);
            if speaks(n / SAMPLE_RATE as usize) { 0.4 * syllable * (low - lower) } else { 0.0 }
        };
        (0..COUNT).map(sample).collect()
    }

    fn compare(first: &[f32], second: &[f32]) -> Option<Comparison> {
        let mut separation = Separation::of(2)?;
        for (a, b) in first.chunks(1_000).zip(second.chunks(1_000)) {
            separation.push(&[a.to_vec(), b.to_vec()]);
        }
        separation.finish().pop()
    }

    fn mixed(first: &[f32], second: &[f32], gain: f32) -> Vec<f32> {
        first.iter().zip(second).map(|(a, b)| a + gain * b).collect()
    }

    #[test]
    fn the_same_mix_is_recognised_whatever_level_sign_delay_and_noise() {
        let mix = mixed(&voice(1, |s| s % 4 < 2), &voice(2, |s| s % 4 >= 2), 1.0);
        let delayed = |samples: usize| [vec![0.0; samples], mix[..COUNT - samples].to_vec()].concat();
        let noise = voice(3, |_| true);
        for (name, other) in [
            ("equal", mix.clone()),
            ("inverted", mix.iter().map(|s| -s).collect()),
            ("quieter", mix.iter().map(|s| 0.1 * s).collect()),
            ("louder and inverted", mix.iter().map(|s| -2.0 * s).collect()),
            ("10 ms later", delayed(160)),
            ("25 ms later", delayed(400)),
            ("with noise", mixed(&mix, &noise, 0.1)),
            (
                "quieter, inverted, later, with noise",
                mixed(&delayed(40), &noise, 0.05).iter().map(|s| -0.5 * s).collect(),
            ),
        ] {
            for (a, b) in [(&mix, &other), (&other, &mix)] {
                let found = compare(a, b).expect("sound on both");
                assert!(found.same && found.correlation <= 1.01, "{name}: {found:?}");
            }
        }
        let quieter: Vec<f32> = mix.iter().map(|s| 0.1 * s).collect();
        assert!((compare(&mix, &quieter).expect("sound").difference_db + 20.0).abs() < 0.1);
    }

    #[test]
    fn two_speakers_with_crosstalk_echo_or_hum_are_apart() {
        let (agent, customer) = (voice(1, |s| s % 4 < 2), voice(2, |s| s % 4 >= 2));
        let hum: Vec<f32> =
            (0..COUNT).map(|n| 0.2 * (n as f32 * 50.0 * std::f32::consts::TAU / 16_000.0).sin()).collect();
        for crosstalk in [0.0, 0.03, 0.1, 0.3, 0.5] {
            let found = compare(&mixed(&agent, &customer, crosstalk), &mixed(&customer, &agent, crosstalk));
            assert!(!found.expect("sound").same, "crosstalk {crosstalk}");
        }
        assert!(!compare(&mixed(&agent, &hum, 1.0), &mixed(&customer, &hum, 1.0)).expect("sound").same, "hum");
        // Echo of the agent on the customer's channel, 20 ms later
        let echo = [vec![0.0; 320], agent[..COUNT - 320].to_vec()].concat();
        assert!(!compare(&agent, &mixed(&customer, &echo, 0.3)).expect("sound").same, "echo");
        // Both hear the same loud music for half of the call
        let music = voice(9, |s| s < SECONDS / 2);
        let talk = |voice: &[f32]| -> Vec<f32> {
            (0..COUNT).map(|n| if n < COUNT / 2 { 2.0 * music[n] } else { voice[n] }).collect()
        };
        assert!(!compare(&talk(&agent), &talk(&customer)).expect("sound").same, "music");
        // Both hear the same music; then one speaks, more quietly, beside digital silence
        let talk = |speaks: f32| -> Vec<f32> {
            (0..COUNT).map(|n| if n < COUNT / 2 { music[n] } else { speaks * agent[n] }).collect()
        };
        let found = compare(&talk(0.0), &talk(0.6)).expect("sound");
        assert!(!found.same && found.correlation > 0.9, "a voice beside silence: {found:?}");
    }

    #[test]
    fn silence_is_compared_with_nothing_and_a_short_recording_is() {
        let mix = voice(1, |_| true);
        assert_eq!(compare(&mix, &vec![0.0; COUNT]), None);
        assert!(compare(&mix[4_000..8_000], &mix[4_000..8_000]).expect("sound").same);
        assert!(Separation::of(1).is_none() && Separation::of(9).is_none());
    }
}
