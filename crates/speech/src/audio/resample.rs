//! Any rate to 16 kHz, streamed, each channel by itself.

use crate::framing::SAMPLE_RATE;
use domain::{Failure, FailureCode};
use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

/// Input samples of one transform, about: with fewer, the filter's edge is less steep.
const CHUNK: usize = 4096;

/// Resamples all channels in step. The output is not shifted against the input, and has
/// `round(input x 16000 / rate)` samples.
pub struct Resampler16k {
    rate: u64,
    input: u64,
    output: u64,
    /// Absent at 16 kHz.
    transform: Option<Transform>,
}

struct Transform {
    fft: Fft<f32>,
    pending: Vec<Vec<f32>>,
    out: Vec<Vec<f32>>,
    /// Samples of the filter's delay that are still to be dropped.
    delay: usize,
    /// Whether the last chunk was digital silence: then nothing of earlier sound is left in the filter.
    silent: bool,
}

impl Resampler16k {
    /// For `channels` channels at `rate` Hz.
    ///
    /// # Errors
    /// `worker.internal` for a rate that no transform can be made for.
    pub fn new(rate: u32, channels: usize) -> Result<Self, Failure> {
        let transform = if rate == SAMPLE_RATE { None } else { Some(Transform::new(rate, channels)?) };
        Ok(Self { rate: u64::from(rate), input: 0, output: 0, transform })
    }

    /// Takes the next samples, equally many per channel, and appends to `out` what is ready.
    ///
    /// # Errors
    /// `worker.internal`: a defect.
    pub fn push(&mut self, samples: &[Vec<f32>], out: &mut [Vec<f32>]) -> Result<(), Failure> {
        self.input += samples.first().map_or(0, Vec::len) as u64;
        let Some(transform) = &mut self.transform else {
            out.iter_mut().zip(samples).for_each(|(to, from)| to.extend_from_slice(from));
            self.output = self.input;
            return Ok(());
        };
        transform.pending.iter_mut().zip(samples).for_each(|(to, from)| to.extend_from_slice(from));
        self.output += transform.run(out, false, u64::MAX)?;
        Ok(())
    }

    /// Appends the rest to `out`.
    ///
    /// # Errors
    /// `worker.internal`: a defect.
    pub fn finish(&mut self, out: &mut [Vec<f32>]) -> Result<(), Failure> {
        let Some(transform) = &mut self.transform else { return Ok(()) };
        let expected = (self.input * u64::from(SAMPLE_RATE) + self.rate / 2) / self.rate;
        while self.output < expected {
            self.output += transform.run(out, true, expected - self.output)?;
        }
        Ok(())
    }
}

impl Transform {
    fn new(rate: u32, channels: usize) -> Result<Self, Failure> {
        let failed = |e: rubato::ResamplerConstructionError| failure(&e);
        let step = (rate / greatest_common_divisor(rate, SAMPLE_RATE)) as usize;
        // An even number of steps, or the filter's middle falls between two samples; and one that is a product of small
        // primes, since a transform of 2 x 683 samples takes ten times as long as one of 1440.
        let least = CHUNK.div_ceil(step);
        // There is a power of two among them.
        let steps = (least..=2 * least).find(|steps| steps.is_multiple_of(2) && is_smooth(*steps)).unwrap_or(2 * least);
        let chunk = steps * step;
        let fft = Fft::new(rate as usize, SAMPLE_RATE as usize, chunk, channels, FixedSync::Both).map_err(failed)?;
        let (delay, frames) = (fft.output_delay(), fft.output_frames_max());
        Ok(Self {
            fft,
            pending: vec![Vec::new(); channels],
            out: vec![vec![0.0; frames]; channels],
            delay,
            silent: true,
        })
    }

    /// Transforms every whole chunk that is pending, or with `flush` one chunk filled up with
    /// silence; appends at most `limit` samples and returns how many.
    fn run(&mut self, out: &mut [Vec<f32>], flush: bool, limit: u64) -> Result<u64, Failure> {
        let (channels, mut written) = (self.pending.len(), 0u64);
        let (chunk, frames) = (self.fft.input_frames_next(), self.out[0].len());
        loop {
            let ready = self.pending[0].len();
            if ready < chunk && !flush {
                return Ok(written);
            }
            let indexing = Indexing::new().partial_len(ready.min(chunk));
            self.pending.iter_mut().for_each(|samples| samples.resize(ready.max(chunk), 0.0));
            let before = self.silent;
            self.silent = self.pending.iter().all(|samples| samples[..chunk].iter().all(|sample| *sample == 0.0));
            let made = if before && self.silent {
                self.out.iter_mut().for_each(|samples| samples.fill(0.0));
                frames
            } else {
                let input = SequentialSliceOfVecs::new(&self.pending, channels, chunk).map_err(|e| failure(&e))?;
                let mut output =
                    SequentialSliceOfVecs::new_mut(&mut self.out, channels, frames).map_err(|e| failure(&e))?;
                self.fft.process_into_buffer(&input, &mut output, Some(&indexing)).map_err(|e| failure(&e))?.1
            };
            self.pending.iter_mut().for_each(|samples| drop(samples.drain(..chunk)));
            let skip = self.delay.min(made);
            self.delay -= skip;
            let take = ((made - skip) as u64).min(limit - written) as usize;
            for (to, from) in out.iter_mut().zip(&self.out) {
                to.extend_from_slice(&from[skip..skip + take]);
            }
            written += take as u64;
            if flush {
                return Ok(written);
            }
        }
    }
}

fn failure(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureCode::WorkerInternal, format!("resampling: {error}"))
}

/// Whether no prime factor is larger than 5.
fn is_smooth(mut number: usize) -> bool {
    for prime in [2, 3, 5] {
        while number > 0 && number.is_multiple_of(prime) {
            number /= prime;
        }
    }
    number == 1
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    const RATES: [u32; 10] = [8_000, 11_025, 12_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000];

    fn tone(hertz: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count).map(|n| (0.5 * (TAU * hertz * n as f64 / f64::from(rate)).sin()) as f32).collect()
    }

    /// Resamples in uneven pieces, as packets come.
    fn resampled(samples: &[f32], rate: u32) -> Vec<f32> {
        let mut resampler = Resampler16k::new(rate, 1).expect("valid rate");
        let mut out = vec![Vec::new()];
        for piece in samples.chunks(1_153) {
            resampler.push(&[piece.to_vec()], &mut out).expect("resampled");
        }
        resampler.finish(&mut out).expect("finished");
        out.swap_remove(0)
    }

    fn decibels(samples: &[f32]) -> f64 {
        let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64;
        10.0 * power.log10()
    }

    #[test]
    fn a_tone_keeps_level_and_phase() {
        for rate in RATES {
            let out = resampled(&tone(1_000.0, rate, rate as usize), rate);
            let expected = tone(1_000.0, SAMPLE_RATE, 16_000);
            let error: Vec<f32> = out.iter().zip(&expected).map(|(a, b)| a - b).collect();
            let middle = decibels(&error[2_000..14_000]) - decibels(&expected);
            assert!(middle < -75.0, "{rate} Hz: differs by {middle:.1} dB");
        }
    }

    #[test]
    fn frequencies_above_8_khz_are_removed() {
        for rate in RATES.into_iter().filter(|rate| *rate > 22_050) {
            for hertz in [8_600.0, 10_000.0, f64::from(rate) / 2.0 - 1_000.0] {
                let out = resampled(&tone(hertz, rate, rate as usize), rate);
                let left = decibels(&out[2_000..14_000]) - decibels(&tone(hertz, rate, rate as usize));
                assert!(left < -80.0, "{hertz} Hz at {rate} Hz: {left:.1} dB are left");
            }
        }
    }

    #[test]
    fn output_lengths_are_exact() {
        for rate in RATES {
            for count in [0, 1, 399, 4_096, 4_097, 50_001] {
                let expected = (count as f64 * 16_000.0 / f64::from(rate)).round() as usize;
                assert_eq!(resampled(&vec![0.1; count], rate).len(), expected, "{count} samples at {rate} Hz");
            }
        }
    }

    #[test]
    fn channels_are_not_mixed() {
        let mut resampler = Resampler16k::new(8_000, 2).expect("valid rate");
        let mut out = vec![Vec::new(), Vec::new()];
        resampler.push(&[tone(500.0, 8_000, 8_000), vec![0.0; 8_000]], &mut out).expect("resampled");
        resampler.finish(&mut out).expect("finished");
        assert!(decibels(&out[0]) > -12.0);
        assert!(out[1].iter().all(|s| *s == 0.0));
    }
}
