//! Numbers and results, formatted for templates.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

use adapters::postgres::console::AnalysisRow;
use domain::report::{ChannelReport, Segment};
use domain::{Emotion, Report, Role, Scores};
use serde_json::{Value, json};

/// A class with probabilities below this was not part of the model's training.
const NEVER: f32 = 1e-6;

/// One bar of nine.
pub(super) struct Bar {
    pub(super) emotion: Emotion,
    /// 0 to 100, one decimal.
    pub(super) percent: String,
    /// The model was not trained on this emotion.
    pub(super) unpredicted: bool,
    pub(super) top: bool,
}

/// A probability as a percentage with one decimal.
pub(super) fn percent(probability: &f32) -> String {
    format!("{:.1}", probability * 100.0)
}

/// `1:03.2`
pub(super) fn clock(seconds: &f64) -> String {
    domain::clock::to_tenths(*seconds)
}

/// The nine bars, likeliest first. An emotion that has a probability below a millionth in all segments is one that the
/// model was not trained on: its exporter gives such classes almost no probability.
///
/// Without speech there are none.
pub(super) fn bars(report: &Report) -> Vec<Bar> {
    let Some(total) = report.scores else { return Vec::new() };
    let all: Vec<&Scores> =
        report.channels.iter().flat_map(|channel| &channel.segments).map(|segment| &segment.scores).collect();
    let mut bars: Vec<Bar> = Emotion::ALL
        .into_iter()
        .map(|emotion| Bar {
            emotion,
            percent: percent(&total.of(emotion)),
            unpredicted: !all.is_empty() && all.iter().all(|scores| scores.of(emotion) < NEVER),
            top: Some(emotion) == report.emotion,
        })
        .collect();
    bars.sort_by(|a, b| total.of(b.emotion).total_cmp(&total.of(a.emotion)));
    bars
}

/// A step of the processing log.
pub(super) struct LogLine {
    pub(super) key: &'static str,
    pub(super) ms: Option<f64>,
    /// Of the worker's time, percent.
    pub(super) share: Option<f64>,
    pub(super) at: Option<String>,
}

/// The stages of the job, with their time and duration.
pub(super) fn log(row: &AnalysisRow) -> Vec<LogLine> {
    let ms = |key: &str| row.timings.as_ref().and_then(|timings| timings.get(key)).and_then(Value::as_f64);
    let at = |time: Option<chrono::DateTime<chrono::Utc>>| {
        time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    };
    let total = ms("total_ms").filter(|total| *total > 0.0);
    let share = |key: &str| Some((ms(key)? / total? * 100.0).clamp(0.5, 100.0));
    let stage = |key, timing: &str| LogLine { key, ms: ms(timing), share: share(timing), at: None };
    vec![
        LogLine { key: "log-submitted", ms: None, share: None, at: at(Some(row.submitted_at)) },
        LogLine { key: "log-queued", ms: ms("queued_ms"), share: None, at: at(row.started_at) },
        stage("log-fetch", "fetch_ms"),
        stage("log-preprocess", "preprocess_ms"),
        stage("log-infer", "infer_ms"),
        stage("log-upload", "upload_ms"),
        LogLine { key: "log-total", ms: ms("total_ms"), share: None, at: at(row.finished_at) },
    ]
}

/// Agent and customer exchanged, like `0=customer,1=agent`; `None` for recordings without the two roles.
pub(super) fn swapped(report: &Report) -> Option<String> {
    let [first, second] = report.channels.as_slice() else { return None };
    let pair = [first.role, second.role];
    let telephone = pair.contains(&Role::Agent) && pair.contains(&Role::Customer);
    telephone.then(|| format!("0={},1={}", second.role, first.role))
}

/// What the page's script needs: names of emotions, and segments by row of the waveform. Only scored channels are in the stored audio.
pub(super) fn script_data(
    report: &Report,
    name: impl Fn(Emotion) -> &'static str,
    role: impl Fn(Role) -> String,
) -> String {
    let scored: Vec<&ChannelReport> = report.channels.iter().filter(|channel| channel.scored).collect();
    let segment = |row: usize, s: &Segment| json!({"row": row, "start": s.start_s, "end": s.end_s, "emotion": s.emotion.label(), "confidence": s.confidence});
    let segments: Vec<Value> = scored
        .iter()
        .enumerate()
        .flat_map(|(row, channel)| channel.segments.iter().map(move |s| segment(row, s)))
        .collect();
    let data = json!({
        "duration": report.audio.duration_s,
        "channels": scored.iter().map(|c| json!({"channel": c.channel, "name": role(c.role)})).collect::<Vec<_>>(),
        "segments": segments,
        "frames": report.frames.is_some(),
        "emotions": Emotion::ALL.into_iter()
            .map(|emotion| (emotion.label().to_owned(), json!({"name": name(emotion), "emoji": emotion.emoji()})))
            .collect::<serde_json::Map<_, _>>(),
    });
    // In a script element, `</` would end it.
    data.to_string().replace("</", "<\\/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_percentages_are_rounded() {
        assert_eq!(clock(&0.0), "0:00.0");
        assert_eq!(clock(&83.26), "1:23.3");
        assert_eq!(clock(&59.96), "1:00.0");
        assert_eq!(percent(&0.8736), "87.4");
    }
}
