//! Renders a report as text for a terminal.

use domain::report::{AudioFacts, ChannelReport, Segment};
use domain::{Emotion, Report, Scores, clock};
use std::fmt::Write as _;

/// Characters of a full bar.
const BAR: usize = 30;

/// Emoji, Chinese and English label, percentage.
pub(super) fn headline(emotion: Emotion, confidence: f32) -> String {
    format!("{} {} {} {:.1} %", emotion.emoji(), emotion.chinese(), emotion, confidence * 100.0)
}

fn no_speech() -> String {
    "no speech on the scored channels: silence, music or noise".into()
}

/// The whole report: headline, a bar for each emotion, a timeline for each channel.
pub(super) fn report(report: &Report) -> String {
    let audio = &report.audio;
    let mut text = format!(
        "{}\n  {} {} · {} Hz · {} channel(s) · {:.1} s\n\n  {}\n\n{}",
        report.object.key,
        audio.container,
        audio.codec,
        audio.sample_rate,
        audio.channels,
        audio.duration_s,
        report.emotion.zip(report.confidence).map_or_else(no_speech, |(emotion, score)| headline(emotion, score)),
        report.scores.as_ref().map(bars).unwrap_or_default(),
    );
    for warning in &report.warnings {
        let _ = writeln!(text, "\n  warning: {}: {}", warning.code, warning.message);
    }
    for failure in audio.tracks.iter().filter_map(|track| track.failure.as_ref()) {
        let _ = writeln!(text, "\n  not analysed: {failure}");
    }
    for channel in &report.channels {
        // Writing to a String can't fail.
        let _ = write!(text, "\n{}", timeline(audio, channel));
    }
    text
}

fn bars(scores: &Scores) -> String {
    let line = |emotion: Emotion| {
        let score = scores.of(emotion);
        let filled = (score * BAR as f32).round() as usize;
        let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled.min(BAR)));
        format!("  {} {} {emotion:<10} {bar} {:5.1} %\n", emotion.emoji(), emotion.chinese(), score * 100.0)
    };
    Emotion::ALL.into_iter().map(line).collect()
}

fn timeline(audio: &AudioFacts, channel: &ChannelReport) -> String {
    let name = channel.channel.map_or("all channels".to_owned(), |c| format!("channel {c}"));
    if !channel.scored {
        let of_track = |number: u16| audio.tracks.iter().find(|track| track.channels.contains(&number));
        let reason = match channel.channel.and_then(of_track) {
            Some(track) if track.failure.is_some() => "its audio track can't be decoded",
            _ => "see `analysis.score_roles`",
        };
        return format!("  {name} ({}): not scored; {reason}\n", channel.role);
    }
    let line = |s: &Segment| {
        let (start, end) = (clock::to_tenths(s.start_s), clock::to_tenths(s.end_s));
        format!("    {start:>8} – {end:>8}  {}\n", headline(s.emotion, s.confidence))
    };
    let lines: String = channel.segments.iter().map(line).collect();
    let level = channel.level_dbfs.map_or_else(|| "digital silence".into(), |level| format!("{level:.0} dBFS"));
    format!("  {name} ({}): {:.1} s of speech, {level}\n{lines}", channel.role, channel.speech_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_score() {
        let scores = Scores::from_probabilities([0.5, 0.5, 0., 0., 0., 0., 0., 0., 0.]).expect("sums to 1");
        let text = bars(&scores);
        assert_eq!(text.matches('█').count(), BAR);
        assert!(text.contains("😠 生气 angry"), "{text}");
        assert!(text.contains(" 50.0 %"), "{text}");
    }
}
