//! A call to listen to: what is known of it, why it is here, and where to listen.

use adapters::postgres::Status;
use adapters::postgres::console::{AlertRow, LOW_CONFIDENCE, QueuedReview, ReviewRow, SegmentFilter, SegmentRow};
use chrono::SecondsFormat;
use domain::alert::Severity;
use domain::visible::visible;
use domain::{Emotion, JobId, clock};

use super::super::frame::Frame;
use super::{KeptReview, kept, place};
use crate::api::model::{Links, file_name};
use crate::app::App;
use crate::auth::{Capability, Principal};
use crate::i18n::Lang;
use crate::problem::Problem;

/// Most segments of a call that are shown; its result has all.
const SEGMENTS: u32 = 1000;

/// A call, as the page shows it.
pub(super) struct Item {
    pub(super) job: JobId,
    pub(super) name: String,
    /// Names and values of the call data.
    pub(super) facts: Vec<(String, String)>,
    /// RFC 3339.
    pub(super) called_at: String,
    pub(super) emotion: Option<Emotion>,
    pub(super) confidence: Option<f32>,
    pub(super) duration_s: Option<f64>,
    pub(super) reasons: Vec<Reason>,
    /// The audio, from the second in question on.
    pub(super) audio: Option<String>,
    pub(super) listen: bool,
    pub(super) segments: Vec<Line>,
    pub(super) more_segments: bool,
    /// The call as a whole is what the review is about, unless the reviewer chooses a segment.
    pub(super) whole: bool,
    pub(super) reviews: Vec<KeptReview>,
    /// When the reviewer's own newest review was given, microseconds; 0 without one.
    pub(super) seen: i64,
    /// The reviewer's own note on what is chosen at first.
    pub(super) note: String,
    /// The reviewer's own note on the call as a whole.
    pub(super) whole_note: String,
    /// Its place in the queue.
    pub(super) place: Option<String>,
}

/// Why a person should listen.
pub(super) struct Reason {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) severe: bool,
}

/// A segment that may be reviewed.
pub(super) struct Line {
    /// `CHANNEL.SEGMENT`
    pub(super) value: String,
    pub(super) role: String,
    pub(super) start_s: f64,
    pub(super) end_s: f64,
    pub(super) emotion: Emotion,
    pub(super) confidence: f32,
    /// An alert names it.
    pub(super) alerted: bool,
    /// It is the one in question.
    pub(super) asked: bool,
    /// The reviewer's own note on it.
    pub(super) note: String,
}

impl Item {
    /// # Errors
    /// 404 for what the caller does not see, 409 without a result; 503.
    pub(super) async fn read(
        app: &App,
        f: &Frame,
        caller: &Principal,
        job: JobId,
        queued: Option<QueuedReview>,
    ) -> Result<Self, Problem> {
        let row = app.visible(job, caller).await?;
        if row.status != Status::Done {
            return Err(Problem::not_done());
        }
        let alerts = app.database.alerts_on(job).await?;
        let mut rows = app.database.segments(job, &SegmentFilter::default(), SEGMENTS + 1).await?;
        let more_segments = rows.len() > SEGMENTS as usize;
        rows.truncate(SEGMENTS as usize);
        let unsure = row.confidence.filter(|confidence| *confidence < LOW_CONFIDENCE);
        let place_of_alert = alerts.iter().find_map(|alert| Some((alert.channel?, alert.segment?)));
        let least_sure =
            || rows.iter().min_by(|a, b| a.confidence.total_cmp(&b.confidence)).map(|s| (s.channel, s.index));
        let in_question = place_of_alert.or_else(|| unsure.and_then(|_| least_sure()));
        let start_s = rows.iter().find(|s| Some((s.channel, s.index)) == in_question).map(|s| s.start_s);
        let start_s = start_s.or_else(|| alerts.iter().find_map(|alert| alert.start_s)).unwrap_or_default();
        let reviews = kept::rows(app, job).await?;
        let mine = kept::own(app, caller, job).await?;
        let seen = mine.iter().map(|review| review.reviewed_at.timestamp_micros()).max().unwrap_or_default();
        let note_on = |about: Option<(Option<u16>, u32)>| {
            let is_on = |review: &&ReviewRow| {
                review.channel.zip(review.segment) == about && (about.is_some() || review.channel.is_none())
            };
            mine.iter().find(is_on).map(|review| review.note.clone()).unwrap_or_default()
        };
        let whole = place_of_alert.is_none_or(|at| !rows.iter().any(|s| (s.channel, s.index) == at));
        let audio = row.artifacts.as_ref().and_then(|artifacts| Links::of(job, Some(artifacts)).audio);
        let call = &row.recording.call;
        let known = [
            ("review-call", &call.call_id),
            ("review-team", &call.team),
            ("review-agent", &call.agent),
            ("review-customer", &call.customer),
        ];
        let known =
            known.into_iter().filter_map(|(key, value)| Some((f.t(key), visible(value.as_deref()?).into_owned())));
        let mut reasons: Vec<Reason> = alerts.iter().map(|alert| Reason::alert(f, alert)).collect();
        reasons.extend(unsure.map(|confidence| Reason::low_confidence(f, confidence)));
        Ok(Self {
            job,
            name: visible(file_name(&row.recording.key)).into_owned(),
            facts: known.collect(),
            called_at: row.called_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            emotion: row.emotion,
            confidence: row.confidence,
            duration_s: row.recording.duration_s,
            reasons,
            // A media fragment: browsers begin there without a script.
            audio: audio.map(|audio| format!("{audio}#t={start_s}")),
            listen: caller.may(Capability::Listen),
            segments: rows
                .iter()
                .map(|s| Line { note: note_on(Some((s.channel, s.index))), ..Line::new(f, s, &alerts, in_question) })
                .collect(),
            more_segments,
            whole,
            reviews: reviews.iter().map(|review| KeptReview::new(f, review)).collect(),
            seen,
            note: note_on(if whole { None } else { in_question }),
            whole_note: note_on(None),
            place: queued.as_ref().map(place::write),
        })
    }
}

impl Reason {
    fn alert(f: &Frame, alert: &AlertRow) -> Self {
        let severity = match f.lang {
            Lang::Zh => alert.severity.chinese(),
            Lang::En => alert.severity.label(),
        };
        let evidence = alert.evidence.iter().map(|evidence| match f.lang {
            Lang::Zh => evidence.in_chinese(),
            Lang::En => evidence.in_english(),
        });
        let text = evidence.collect::<Vec<_>>().join("; ");
        Self {
            title: format!("{} · {severity} · {}", f.t("review-alert"), visible(&alert.rule)),
            text: visible(&text).into_owned(),
            severe: alert.severity > Severity::Info,
        }
    }

    fn low_confidence(f: &Frame, confidence: f32) -> Self {
        let text = f.w("review-unsure-text", &super::view::percent(&confidence));
        Self { title: f.t("review-unsure"), text, severe: false }
    }
}

impl Line {
    fn new(f: &Frame, s: &SegmentRow, alerts: &[AlertRow], in_question: Option<(Option<u16>, u32)>) -> Self {
        let channel = s.channel.map_or(-1, i32::from);
        let number = s.channel.map(|number| format!(" {number}")).unwrap_or_default();
        let within = |alert: &AlertRow| {
            alert.channel == Some(s.channel)
                && (alert.segment == Some(s.index)
                    || alert
                        .evidence
                        .iter()
                        .any(|e| e.channel == s.channel && (e.first_segment..=e.last_segment).contains(&s.index)))
        };
        Self {
            value: format!("{channel}.{}", s.index),
            role: format!("{}{number}", f.t(&format!("role-{}", s.role.label()))),
            start_s: s.start_s,
            end_s: s.end_s,
            emotion: s.emotion,
            confidence: s.confidence,
            alerted: alerts.iter().any(within),
            asked: in_question == Some((s.channel, s.index)),
            note: String::new(),
        }
    }

    /// For those who can't see the line's place in time.
    pub(super) fn span(&self) -> String {
        format!("{}–{}", clock::to_tenths(self.start_s), clock::to_tenths(self.end_s))
    }
}
