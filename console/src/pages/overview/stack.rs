//! Counts by emotion, and the bar that shows them.

use adapters::postgres::console::EmotionCount;
use domain::Emotion;

use crate::pages::frame::Frame;

/// What was counted of some calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Calls with speech.
    pub(super) calls: u64,
    emotions: [u64; Emotion::COUNT],
    speech_s: f64,
    negative_s: f64,
}

/// A part of a bar: where it begins and how long it is, percent.
pub(super) struct Part {
    pub(super) emotion: Emotion,
    pub(super) from: String,
    pub(super) length: String,
}

impl Tally {
    /// Adds the calls of a day or a group.
    pub(super) fn add(&mut self, count: &EmotionCount) {
        self.calls += count.calls;
        self.speech_s += count.speech_s;
        self.negative_s += count.negative_s;
        for (sum, n) in self.emotions.iter_mut().zip(count.emotions) {
            *sum += n;
        }
    }

    /// The scored channels with this emotion.
    pub(super) fn of(&self, emotion: Emotion) -> u64 {
        self.emotions[emotion.index()]
    }

    /// The scored channels.
    pub(super) fn channels(&self) -> u64 {
        self.emotions.iter().sum()
    }

    /// Minutes of speech.
    pub(super) fn minutes(&self) -> String {
        format!("{:.0}", self.speech_s / 60.0)
    }

    /// Hours of speech.
    pub(super) fn hours(&self) -> String {
        format!("{:.1}", self.speech_s / 3600.0)
    }

    /// Share of the speech that was predicted as a negative emotion, 0 to 1.
    pub(super) fn negative(&self) -> f64 {
        if self.speech_s > 0.0 { self.negative_s / self.speech_s } else { 0.0 }
    }

    /// The same, percent.
    pub(super) fn negative_percent(&self) -> String {
        format!("{:.0}", self.negative() * 100.0)
    }

    /// The emotions that were predicted, most frequent first.
    pub(super) fn ranked(&self) -> Vec<(Emotion, u64)> {
        let mut ranked: Vec<_> = Emotion::ALL.into_iter().map(|emotion| (emotion, self.of(emotion))).collect();
        ranked.retain(|(_, n)| *n > 0);
        ranked.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        ranked
    }

    /// Like `angry 3, neutral 40`.
    pub(super) fn words(&self, f: &Frame) -> String {
        let words = self.ranked().into_iter().map(|(emotion, n)| format!("{} {n}", f.emotion(&emotion)));
        words.collect::<Vec<_>>().join(&f.t("comma"))
    }

    /// The parts of a bar of which `whole` channels are the length: negative emotions first.
    pub(super) fn parts(&self, whole: u64) -> Vec<Part> {
        let negative = |emotion: &Emotion| Emotion::NEGATIVE.contains(emotion);
        let (first, rest): (Vec<_>, Vec<_>) = Emotion::ALL.into_iter().partition(negative);
        let (share, mut from) = (100.0 / whole.max(1) as f64, 0.0);
        let mut parts = Vec::new();
        for emotion in first.into_iter().chain(rest).filter(|emotion| self.of(*emotion) > 0) {
            let length = self.of(emotion) as f64 * share;
            parts.push(Part { emotion, from: format!("{from:.2}"), length: format!("{length:.2}") });
            from += length;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_the_bar_with_negative_emotions_first() {
        let mut emotions = [0; Emotion::COUNT];
        emotions[Emotion::Neutral.index()] = 3;
        emotions[Emotion::Sad.index()] = 1;
        let tally = Tally { emotions, ..Tally::default() };
        let parts: Vec<_> = tally.parts(8).into_iter().map(|part| (part.emotion, part.from, part.length)).collect();
        assert_eq!(
            parts,
            [(Emotion::Sad, "0.00".into(), "12.50".into()), (Emotion::Neutral, "12.50".into(), "37.50".into())]
        );
        assert_eq!(tally.ranked()[0], (Emotion::Neutral, 3));
    }
}
