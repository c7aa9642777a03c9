//! Magnitude spectra of chunks of sound: what the voice activity network takes.

use std::f32::consts::TAU;
use std::fmt;
use symphonia_core::dsp::complex::Complex;
// Of the Fourier transforms that are here already, this one is not generic: it is as fast in tests, where generic code of
// libraries is not optimised.
use symphonia_core::dsp::fft::Fft;

/// Samples of one prediction: 32 ms.
pub(super) const CHUNK: usize = 512;
/// Samples of the chunk before that belong to the first window.
pub(super) const CONTEXT: usize = 64;
/// Windows of one chunk.
pub(super) const WINDOWS: usize = 4;
/// Magnitudes of one window, 62.5 Hz apart, from 0 to 8 kHz.
pub(super) const BINS: usize = WINDOW / 2 + 1;
/// Samples of one window.
const WINDOW: usize = 256;
/// Samples from one window to the next.
const HOP: usize = 128;
/// Context and chunk, and the chunk's end reflected as far as the last window goes.
const PADDED: usize = (WINDOWS - 1) * HOP + WINDOW;

/// Computes the spectra of one chunk after the other.
pub(super) struct Spectrum {
    fft: Fft,
    /// Half of a periodic Hann window: adding the two halves of a spectrum doubles it.
    half_hann: [f32; WINDOW],
    /// Two windows each, as real and imaginary part.
    pairs: [[Complex<f32>; WINDOW]; WINDOWS / 2],
}

impl fmt::Debug for Spectrum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spectrum").finish_non_exhaustive()
    }
}

impl Spectrum {
    pub(super) fn new() -> Self {
        Self {
            fft: Fft::new(WINDOW),
            half_hann: std::array::from_fn(|n| 0.25 - 0.25 * (TAU * n as f32 / WINDOW as f32).cos()),
            pairs: [[Complex::default(); WINDOW]; WINDOWS / 2],
        }
    }

    /// Appends the magnitudes of the windows of `chunk`, which follows `context`: [`WINDOWS`] times [`BINS`].
    pub(super) fn append(&mut self, context: &[f32; CONTEXT], chunk: &[f32; CHUNK], magnitudes: &mut Vec<f32>) {
        let mut padded = [0.0; PADDED];
        padded[..CONTEXT].copy_from_slice(context);
        padded[CONTEXT..CONTEXT + CHUNK].copy_from_slice(chunk);
        let end = padded[CONTEXT + CHUNK..].iter_mut();
        end.zip(chunk[..CHUNK - 1].iter().rev()).for_each(|(to, from)| *to = *from);
        for (number, pair) in self.pairs.iter_mut().enumerate() {
            let first = &padded[2 * number * HOP..][..WINDOW];
            let second = &padded[(2 * number + 1) * HOP..][..WINDOW];
            for (((to, first), second), weight) in pair.iter_mut().zip(first).zip(second).zip(&self.half_hann) {
                *to = Complex::new(first * weight, second * weight);
            }
            self.fft.fft_inplace(pair);
        }
        let begin = magnitudes.len();
        magnitudes.resize(begin + WINDOWS * BINS, 0.0);
        let powers = &mut magnitudes[begin..];
        for (pair, powers) in self.pairs.iter().zip(powers.as_chunks_mut::<{ 2 * BINS }>().0) {
            separate(pair, powers);
        }
        // All at once, which the compiler makes four at a time of.
        for power in powers {
            *power = power.sqrt();
        }
    }
}

/// The powers of two windows, of the transform of the first plus i times the second: the spectrum of a real signal is
/// symmetric, so each is a sum or a difference of the transform's two halves.
fn separate(pair: &[Complex<f32>; WINDOW], powers: &mut [f32; 2 * BINS]) {
    let (first, second) = powers.split_at_mut(BINS);
    let mut put = |bin: usize, a: Complex<f32>, b: Complex<f32>| {
        first[bin] = (a.re + b.re).powi(2) + (a.im - b.im).powi(2);
        second[bin] = (a.im + b.im).powi(2) + (b.re - a.re).powi(2);
    };
    put(0, pair[0], pair[0]);
    for (bin, (a, b)) in pair[1..BINS].iter().zip(pair[BINS - 1..].iter().rev()).enumerate() {
        put(bin + 1, *a, *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_are_those_of_the_definition() {
        let mut noise = 1_u32;
        let mut sample = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise as f32 / u32::MAX as f32 - 0.5
        };
        let context: [f32; CONTEXT] = std::array::from_fn(|_| sample());
        let chunk: [f32; CHUNK] = std::array::from_fn(|_| sample());
        let mut magnitudes = vec![7.0];
        Spectrum::new().append(&context, &chunk, &mut magnitudes);
        assert_eq!(magnitudes.len(), 1 + WINDOWS * BINS);
        let padded: Vec<f64> =
            context.iter().chain(&chunk).chain(chunk[..CHUNK - 1].iter().rev()).map(|s| f64::from(*s)).collect();
        for (place, magnitude) in magnitudes[1..].iter().enumerate() {
            let (window, bin) = (place / BINS, place % BINS);
            let (mut re, mut im) = (0.0, 0.0);
            for n in 0..WINDOW {
                let angle = std::f64::consts::TAU * (bin * n) as f64 / WINDOW as f64;
                let hann = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / WINDOW as f64).cos();
                re += padded[window * HOP + n] * hann * angle.cos();
                im += padded[window * HOP + n] * hann * angle.sin();
            }
            let expected = re.hypot(im);
            let error = (f64::from(*magnitude) - expected).abs();
            assert!(error < 1e-5, "window {window}, bin {bin}: {magnitude} instead of {expected}");
        }
    }
}
