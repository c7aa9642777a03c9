//! The nine emotions, in the order every model output and score vector uses.

use serde::{Deserialize, Serialize};

/// One of the nine classes of emotion2vec+.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emotion {
    /// 生气
    Angry,
    /// 厌恶
    Disgusted,
    /// 恐惧
    Fearful,
    /// 快乐
    Happy,
    /// 中性
    Neutral,
    /// 其他
    Other,
    /// 悲伤
    Sad,
    /// 惊讶
    Surprised,
    /// 未知
    Unknown,
}

impl Emotion {
    /// How many emotions there are: the length of every score vector.
    pub const COUNT: usize = 9;

    /// All emotions, in score-vector order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Angry,
        Self::Disgusted,
        Self::Fearful,
        Self::Happy,
        Self::Neutral,
        Self::Other,
        Self::Sad,
        Self::Surprised,
        Self::Unknown,
    ];

    /// Those that count as negative, as `is_negative` in the database does.
    pub const NEGATIVE: [Self; 4] = [Self::Angry, Self::Disgusted, Self::Fearful, Self::Sad];

    /// Position in a score vector, 0 to 8.
    pub fn index(self) -> usize {
        self as usize
    }

    /// English label, as in `result.json`, the database and `model.json`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Angry => "angry",
            Self::Disgusted => "disgusted",
            Self::Fearful => "fearful",
            Self::Happy => "happy",
            Self::Neutral => "neutral",
            Self::Other => "other",
            Self::Sad => "sad",
            Self::Surprised => "surprised",
            Self::Unknown => "unknown",
        }
    }

    /// Chinese label, for people.
    pub fn chinese(self) -> &'static str {
        match self {
            Self::Angry => "生气",
            Self::Disgusted => "厌恶",
            Self::Fearful => "恐惧",
            Self::Happy => "快乐",
            Self::Neutral => "中性",
            Self::Other => "其他",
            Self::Sad => "悲伤",
            Self::Surprised => "惊讶",
            Self::Unknown => "未知",
        }
    }

    /// Emoji, for people.
    pub fn emoji(self) -> &'static str {
        match self {
            Self::Angry => "😠",
            Self::Disgusted => "🤢",
            Self::Fearful => "😨",
            Self::Happy => "😊",
            Self::Neutral => "😐",
            Self::Other => "🤔",
            Self::Sad => "😢",
            Self::Surprised => "😲",
            Self::Unknown => "❓",
        }
    }

    /// The emotion with this English label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.label() == label)
    }
}

impl std::fmt::Display for Emotion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_the_order_of_the_score_vector() {
        for (position, emotion) in Emotion::ALL.into_iter().enumerate() {
            assert_eq!(emotion.index(), position);
            assert_eq!(Emotion::from_label(emotion.label()), Some(emotion));
        }
    }

    #[test]
    fn serde_speaks_the_english_label() {
        for emotion in Emotion::ALL {
            let json = serde_json::to_value(emotion).unwrap_or_default();
            assert_eq!(json, emotion.label());
        }
    }
}
