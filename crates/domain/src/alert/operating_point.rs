//! The score from which on an alert on an emotion pays, as measured for one model.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::{Condition, PatternThreshold, Rule, Rulebook};
use crate::Emotion;

/// Where on its operating curve (alarms on ordinary speech against emotion found) a model is best used.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct OperatingPoint {
    /// Least score of a segment, 0 to 1.
    pub threshold: f64,
    /// Least number of consecutive segments, from 1.
    #[serde(default = "one")]
    pub in_a_row: u32,
}

fn one() -> u32 {
    1
}

/// The advised operating points of a model, by emotion.
pub type OperatingPoints = BTreeMap<Emotion, OperatingPoint>;

impl Rulebook {
    /// Sets the rules that ask for consecutive segments of a single emotion to that emotion's operating point. Returns the
    /// names of the rules that changed or had these numbers already.
    pub fn follow(&mut self, points: &OperatingPoints) -> Vec<String> {
        let set = |rule: &mut Rule| rule.when.follow(points).then(|| rule.name.clone());
        self.rules.iter_mut().filter_map(set).collect()
    }
}

impl Condition {
    /// Whether a part of the condition was set.
    fn follow(&mut self, points: &OperatingPoints) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                let mut set = false;
                for part in parts {
                    set |= part.follow(points);
                }
                set
            }
            Self::Not(part) => part.follow(points),
            Self::Speech(speech) => {
                let ([emotion], Some(_), PatternThreshold::InARow(_)) =
                    (&speech.emotions[..], speech.min_score, speech.threshold)
                else {
                    return false;
                };
                let Some(point) = points.get(emotion) else { return false };
                speech.min_score = Some(point.threshold);
                speech.threshold = PatternThreshold::InARow(point.in_a_row);
                true
            }
            Self::MinSpeech { .. } | Self::Silence { .. } | Self::CallData { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Grouping, Severity, SpeechCondition};
    use super::*;
    use std::time::Duration;

    fn speech(emotions: &[Emotion], min_score: Option<f64>, threshold: PatternThreshold) -> Condition {
        let (name, emotions) = ("x".into(), emotions.to_vec());
        Condition::Speech(SpeechCondition { role: None, name, emotions, min_score, threshold, part: None })
    }

    fn book(when: Condition) -> Rulebook {
        let rule = Rule {
            name: "r".into(),
            severity: Severity::Info,
            when,
            group_by: Grouping::Call,
            cooldown: Duration::ZERO,
            resolve_after: None,
            max_age: None,
            notify: None,
            include: Vec::new(),
        };
        Rulebook { rules: vec![rule], destinations: Vec::new() }
    }

    #[test]
    fn consecutive_segments_of_an_emotion_follow_its_point_wherever_they_are_nested() {
        let points = OperatingPoints::from([(Emotion::Angry, OperatingPoint { threshold: 0.45, in_a_row: 3 })]);
        let built_in = speech(&[Emotion::Angry], Some(0.6), PatternThreshold::InARow(2));
        let advised = speech(&[Emotion::Angry], Some(0.45), PatternThreshold::InARow(3));
        let mut nested = book(Condition::Any(vec![built_in.clone(), Condition::All(vec![built_in])]));
        assert_eq!(nested.follow(&points), ["r"]);
        assert_eq!(nested, book(Condition::Any(vec![advised.clone(), Condition::All(vec![advised])])));
    }

    #[test]
    fn other_conditions_stay_as_they_are() {
        let points = OperatingPoints::from([(Emotion::Angry, OperatingPoint { threshold: 0.45, in_a_row: 3 })]);
        for when in [
            speech(&[Emotion::Sad], Some(0.6), PatternThreshold::InARow(2)),
            speech(&[Emotion::Angry, Emotion::Sad], Some(0.6), PatternThreshold::InARow(2)),
            speech(&[Emotion::Angry], None, PatternThreshold::InARow(2)),
            speech(&[Emotion::Angry], Some(0.6), PatternThreshold::Share(0.3)),
        ] {
            let mut rules = book(when.clone());
            assert_eq!(rules.follow(&points), Vec::<String>::new());
            assert_eq!(rules, book(when));
        }
    }
}
