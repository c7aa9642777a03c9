//! How loud a track is, and by how much a quiet one is amplified for voice activity detection.

use crate::framing::SAMPLE_RATE;

/// Level to which quiet tracks are amplified, dB of full scale: that of usual telephone speech.
const TARGET_DBFS: f32 = -25.0;
/// Lower levels are taken for the noise of the line or of quantisation, not for speech: dB of full scale.
const NOISE_DBFS: f32 = -80.0;
/// Mean square below which there is no sound at all: -120 dB of full scale.
const NOTHING: f64 = 1e-12;

/// Measures the loudest second of a track.
#[derive(Debug, Default)]
pub(super) struct LevelMeter {
    energy: f64,
    samples: u32,
    /// Mean square of the loudest full second.
    loudest: Option<f64>,
}

impl LevelMeter {
    pub(super) fn push(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min((SAMPLE_RATE - self.samples) as usize));
            self.energy += energy(now);
            self.samples += now.len() as u32;
            if self.samples == SAMPLE_RATE {
                let mean = self.energy / f64::from(self.samples);
                self.loudest = Some(self.loudest.map_or(mean, |loudest| loudest.max(mean)));
                (self.energy, self.samples) = (0.0, 0);
            }
            samples = later;
        }
    }

    /// Root mean square of the loudest second so far, dB of full scale; of all there is, in less than a second.
    /// `None`: digital silence.
    pub(super) fn dbfs(&self) -> Option<f32> {
        let all = (self.samples > 0).then(|| self.energy / f64::from(self.samples));
        let mean = self.loudest.or(all).filter(|mean| *mean > NOTHING)?;
        Some((10.0 * mean.log10()) as f32)
    }
}

/// The sum of the squares.
pub(super) fn energy(samples: &[f32]) -> f64 {
    let square = |sample: &f32| f64::from(*sample) * f64::from(*sample);
    // Eight sums, since each addition waits for the one before.
    let (blocks, rest) = samples.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, sample)| *sum += square(sample));
    }
    sums.iter().sum::<f64>() + rest.iter().map(square).sum::<f64>()
}

/// The factor for a track of this level, below `quiet_dbfs`; `None`: it is loud enough, or nothing but noise.
pub(super) fn gain(level_dbfs: Option<f32>, quiet_dbfs: f32) -> Option<f32> {
    let level = level_dbfs.filter(|level| (NOISE_DBFS..quiet_dbfs).contains(level))?;
    Some(10f32.powf((TARGET_DBFS - level) / 20.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_that_of_the_loudest_second() {
        let mut meter = LevelMeter::default();
        assert_eq!(meter.dbfs(), None);
        meter.push(&vec![0.0; 8_000]);
        assert_eq!(meter.dbfs(), None, "digital silence has no level");
        meter.push(&vec![0.1; 24_000]);
        meter.push(&vec![0.001; 16_000]);
        let level = meter.dbfs().expect("sound");
        assert!((level + 20.0).abs() < 0.01, "{level}");
    }

    #[test]
    fn quiet_tracks_are_amplified_and_others_are_not() {
        assert!((gain(Some(-45.0), -40.0).expect("quiet") - 10.0).abs() < 1e-3);
        for level in [None, Some(-40.0), Some(-12.0), Some(-85.0)] {
            assert_eq!(gain(level, -40.0), None, "{level:?}");
        }
        assert_eq!(gain(Some(-60.0), -90.0), None, "turned off");
    }
}
