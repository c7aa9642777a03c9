//! A probability for each of the nine emotions.

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

use crate::Emotion;

/// Nine probabilities in [`Emotion::ALL`] order, each in [0, 1], summing to 1 (within 1e-3).
/// As JSON: an object from English label to probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores([f32; Emotion::COUNT]);

/// Why nine numbers are not valid scores.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ScoresError {
    /// A number is NaN or infinite: the model or its input is broken.
    #[error("the model returned a number that is not finite")]
    NotFinite,
    /// The probabilities don't add up to one.
    #[error("scores sum to {0}, not 1")]
    NotNormalised(f32),
}

impl Scores {
    /// Softmax of a model's logits, computed stably.
    ///
    /// # Errors
    /// [`ScoresError::NotFinite`] when a logit is NaN or +infinite, or all are -infinite.
    pub fn from_logits(logits: &[f32; Emotion::COUNT]) -> Result<Self, ScoresError> {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !max.is_finite() || logits.iter().any(|l| l.is_nan()) {
            return Err(ScoresError::NotFinite);
        }
        let exp = logits.map(|l| f64::from(l - max).exp());
        let sum: f64 = exp.iter().sum();
        Ok(Self(exp.map(|e| (e / sum) as f32)))
    }

    /// Scores from probabilities that already sum to one.
    ///
    /// # Errors
    /// When a number is not finite or the sum is off by more than 1e-3.
    pub fn from_probabilities(p: [f32; Emotion::COUNT]) -> Result<Self, ScoresError> {
        if p.iter().any(|x| !x.is_finite() || *x < 0.0) {
            return Err(ScoresError::NotFinite);
        }
        let sum: f32 = p.iter().sum();
        if (sum - 1.0).abs() > 1e-3 {
            return Err(ScoresError::NotNormalised(sum));
        }
        Ok(Self(p))
    }

    /// Mean weighted by `weight` (seconds of speech, say). `None` when the weights sum to zero.
    pub fn weighted_mean(parts: impl IntoIterator<Item = (Self, f64)>) -> Option<Self> {
        let mut sum = [0.0_f64; Emotion::COUNT];
        let mut total = 0.0;
        for (scores, weight) in parts {
            total += weight;
            for (acc, s) in sum.iter_mut().zip(scores.0) {
                *acc += f64::from(s) * weight;
            }
        }
        (total > 0.0).then(|| Self(sum.map(|s| (s / total) as f32)))
    }

    /// The probability of one emotion.
    pub fn of(&self, emotion: Emotion) -> f32 {
        self.0[emotion.index()]
    }

    /// All nine, in [`Emotion::ALL`] order.
    pub fn as_array(&self) -> &[f32; Emotion::COUNT] {
        &self.0
    }

    /// The most probable emotion and its probability; ties go to the earlier one.
    pub fn top(&self) -> (Emotion, f32) {
        Emotion::ALL
            .into_iter()
            .map(|e| (e, self.of(e)))
            .fold((Emotion::Angry, f32::MIN), |best, next| if next.1 > best.1 { next } else { best })
    }
}

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Emotion::COUNT))?;
        for emotion in Emotion::ALL {
            map.serialize_entry(emotion.label(), &self.of(emotion))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<Emotion, f32>::deserialize(deserializer)?;
        let mut p = [0.0; Emotion::COUNT];
        for emotion in Emotion::ALL {
            let score = map.get(&emotion).ok_or_else(|| D::Error::custom(format!("no score for `{emotion}`")))?;
            p[emotion.index()] = *score;
        }
        Self::from_probabilities(p).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_even_for_huge_logits() {
        let logits = [1000.0, 999.0, -30.0, 0.0, 1.0, 2.0, 3.0, 4.0, f32::NEG_INFINITY];
        let scores = Scores::from_logits(&logits).expect("finite maximum");
        let sum: f32 = scores.as_array().iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert_eq!(scores.top().0, Emotion::Angry);
    }

    #[test]
    fn not_a_number_is_refused() {
        let mut logits = [0.0; 9];
        logits[3] = f32::NAN;
        assert_eq!(Scores::from_logits(&logits), Err(ScoresError::NotFinite));
    }

    #[test]
    fn the_mean_weighs_by_seconds() {
        let angry = Scores::from_probabilities([1., 0., 0., 0., 0., 0., 0., 0., 0.]).expect("sums to 1");
        let sad = Scores::from_probabilities([0., 0., 0., 0., 0., 0., 1., 0., 0.]).expect("sums to 1");
        let mean = Scores::weighted_mean([(angry, 3.0), (sad, 1.0)]).expect("weights");
        assert!((mean.of(Emotion::Angry) - 0.75).abs() < 1e-6);
        assert!(Scores::weighted_mean([]).is_none());
    }

    #[test]
    fn json_is_an_object_by_label_and_reads_back() {
        let scores = Scores::from_logits(&[0.0; 9]).expect("finite");
        let json = serde_json::to_string(&scores).expect("serialises");
        assert!(json.starts_with(r#"{"angry":0.111"#));
        let back: Scores = serde_json::from_str(&json).expect("reads back");
        assert_eq!(back, scores);
    }
}
