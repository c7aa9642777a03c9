//! The nine emotions, in the order every model output and score vector uses.

crate::label_enum! {
    /// One of the nine classes of emotion2vec+, in the order of score vectors.
    pub enum Emotion: "emotion" {
        /// 生气
        Angry = "angry",
        /// 厌恶
        Disgusted = "disgusted",
        /// 恐惧
        Fearful = "fearful",
        /// 快乐
        Happy = "happy",
        /// 中性
        Neutral = "neutral",
        /// 其他
        Other = "other",
        /// 悲伤
        Sad = "sad",
        /// 惊讶
        Surprised = "surprised",
        /// 未知
        Unknown = "unknown",
    }
}

impl Emotion {
    /// Those that count as negative, as `is_negative` in the database does.
    pub const NEGATIVE: [Self; 4] = [Self::Angry, Self::Disgusted, Self::Fearful, Self::Sad];

    /// Position in a score vector, 0 to 8.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Chinese label, for people.
    pub fn chinese(self) -> &'static str {
        self.display_names().0
    }

    /// Emoji, for people.
    pub fn emoji(self) -> &'static str {
        self.display_names().1
    }

    /// Chinese label and emoji.
    fn display_names(self) -> (&'static str, &'static str) {
        match self {
            Self::Angry => ("生气", "😠"),
            Self::Disgusted => ("厌恶", "🤢"),
            Self::Fearful => ("恐惧", "😨"),
            Self::Happy => ("快乐", "😊"),
            Self::Neutral => ("中性", "😐"),
            Self::Other => ("其他", "🤔"),
            Self::Sad => ("悲伤", "😢"),
            Self::Surprised => ("惊讶", "😲"),
            Self::Unknown => ("未知", "❓"),
        }
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
    fn json_is_the_english_label() {
        for emotion in Emotion::ALL {
            let json = serde_json::to_value(emotion).unwrap_or_default();
            assert_eq!(json, emotion.label());
        }
    }
}
