//! Alert messages as text, in English and Chinese, without markup.

use super::{AlertMessage, Evidence, MessageKind, Pattern};
use crate::{Emotion, Role, clock};

fn percent(share: f32) -> i64 {
    (share * 100.0).round() as i64
}

impl Evidence {
    /// Like `customer: angry 0.83, 2 segments in a row from 1:23`.
    pub fn in_english(&self) -> String {
        let (role, emotion, at) = (self.role, &self.emotion, clock::to_seconds(self.start_s));
        match self.pattern {
            Pattern::InARow { segments: 1, score } => format!("{role}: {emotion} {score:.2} at {at}"),
            Pattern::InARow { segments, score } => {
                format!("{role}: {emotion} {score:.2}, {segments} segments in a row from {at}")
            }
            Pattern::Share { share, .. } => {
                format!("{role}: {emotion} in {} % of the speech, most of all at {at}", percent(share))
            }
            Pattern::Shift { shift, score } => {
                format!("{role}: {emotion} up by {shift:.2} to {score:.2} towards the end, rising from {at}")
            }
        }
    }

    /// Like `客户 生气（0.83），自 1:23 起连续 2 段`.
    pub fn in_chinese(&self) -> String {
        let (role, emotion, at) =
            (role_in_chinese(self.role), emotion_in_chinese(&self.emotion), clock::to_seconds(self.start_s));
        match self.pattern {
            Pattern::InARow { segments: 1, score } => format!("{role} {emotion}（{score:.2}），在 {at}"),
            Pattern::InARow { segments, score } => {
                format!("{role} {emotion}（{score:.2}），自 {at} 起连续 {segments} 段")
            }
            Pattern::Share { share, .. } => format!("{role} {emotion} 占发言 {}%，最强在 {at}", percent(share)),
            Pattern::Shift { shift, score } => {
                format!("{role} {emotion} 后段比前段上升 {shift:.2}，达 {score:.2}，自 {at} 起上升")
            }
        }
    }
}

impl AlertMessage {
    /// One line: severity, rule, evidence, number of alerts held back. Without call data.
    pub fn in_english(&self) -> String {
        let kind = match self.kind {
            MessageKind::Fired => "",
            MessageKind::Again => ", again",
            MessageKind::Resolved => ", resolved",
        };
        let mut line = format!("{}{kind}: {}", self.severity.label(), self.rule);
        if self.kind != MessageKind::Resolved {
            let evidence: Vec<_> = self.evidence.iter().map(Evidence::in_english).collect();
            line.push_str(&joined(" — ", &evidence.join("; ")));
        }
        match self.held_back {
            0 => line,
            more => format!("{line} ({more} more were held back since the last message)"),
        }
    }

    /// The same in Chinese.
    pub fn in_chinese(&self) -> String {
        let kind = match self.kind {
            MessageKind::Fired => "",
            MessageKind::Again => "·再次",
            MessageKind::Resolved => "·已解除",
        };
        let mut line = format!("【{}{kind}】{}", self.severity.chinese(), self.rule);
        if self.kind != MessageKind::Resolved {
            let evidence: Vec<_> = self.evidence.iter().map(Evidence::in_chinese).collect();
            line.push_str(&joined("：", &evidence.join("；")));
        }
        match self.held_back {
            0 => line,
            more => format!("{line}（上次通知后另有 {more} 条未发）"),
        }
    }
}

fn joined(by: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{by}{text}") }
}

fn role_in_chinese(role: Role) -> &'static str {
    match role {
        Role::Customer => "客户",
        Role::Agent => "坐席",
        Role::Speaker => "说话人",
        Role::Mixed => "混合声道",
    }
}

/// Emotions and built-in groups have Chinese names; an operator's own group keeps its name.
fn emotion_in_chinese(name: &str) -> String {
    let one = |part: &str| match part {
        "negative" => "负面情绪".to_owned(),
        "positive" => "正面情绪".to_owned(),
        other => Emotion::from_label(other).map_or_else(|| other.to_owned(), |e| e.chinese().to_owned()),
    };
    name.split('+').map(one).collect::<Vec<_>>().join("+")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(emotion: &str, pattern: Pattern) -> Evidence {
        let (role, emotion) = (Role::Customer, emotion.into());
        let (first_segment, last_segment, start_s, end_s) = (3, 4, 83.9, 95.0);
        Evidence { channel: Some(1), role, emotion, first_segment, last_segment, start_s, end_s, pattern }
    }

    #[test]
    fn evidence_reads_as_a_sentence_in_both_languages() {
        let row = evidence("angry", Pattern::InARow { segments: 2, score: 0.834 });
        assert_eq!(row.in_english(), "customer: angry 0.83, 2 segments in a row from 1:23");
        assert_eq!(row.in_chinese(), "客户 生气（0.83），自 1:23 起连续 2 段");
        let share = evidence("angry+sad", Pattern::Share { share: 0.416, score: 0.9 });
        assert_eq!(share.in_english(), "customer: angry+sad in 42 % of the speech, most of all at 1:23");
        assert_eq!(share.in_chinese(), "客户 生气+悲伤 占发言 42%，最强在 1:23");
        let shift = evidence("negative", Pattern::Shift { shift: 0.31, score: 0.5 });
        assert_eq!(shift.in_chinese(), "客户 负面情绪 后段比前段上升 0.31，达 0.50，自 1:23 起上升");
    }
}
