//! A row of the list, formatted.

use adapters::postgres::console::{CallRow, ChannelCourse};
use domain::clock::to_seconds;
use domain::visible::visible;
use domain::{Emotion, JobId, Role};

use super::PATH;
use crate::api::model::file_name;
use crate::pages::filter::Filter;
use crate::pages::frame::Frame;

/// A third that differs by less than this from the first is no trend.
const STEADY: f32 = 0.05;
/// Below this probability, the angriest second is none to listen to.
const HEARD: f32 = 0.05;

/// A call.
pub(super) struct Row {
    pub(super) job: JobId,
    /// RFC 3339.
    pub(super) at: String,
    pub(super) day: String,
    pub(super) clock: String,
    /// The file.
    pub(super) name: String,
    pub(super) call_id: Option<String>,
    pub(super) agent: Option<Narrower>,
    pub(super) team: Option<Narrower>,
    pub(super) customer: Option<Narrower>,
    pub(super) length: String,
    pub(super) alerts: u64,
    pub(super) reviewed: bool,
    /// The scored channels; at least one, which is empty where none was scored.
    pub(super) channels: Vec<Channel>,
}

/// A value by which the list can be narrowed.
pub(super) struct Narrower {
    pub(super) text: String,
    pub(super) address: String,
}

/// How a scored channel went.
pub(super) struct Channel {
    /// Who speaks, where that is not clear by itself.
    pub(super) role: Option<String>,
    pub(super) emotion: Option<Emotion>,
    pub(super) percent: String,
    pub(super) trend: Option<Trend>,
    pub(super) turned: Option<Moment>,
    pub(super) peak: Option<Peak>,
}

/// From the first third to the last one.
pub(super) struct Trend {
    /// `worse`, `better` or `steady`.
    pub(super) class: &'static str,
    pub(super) arrow: &'static str,
    pub(super) first: String,
    pub(super) last: String,
    /// The same for those who don't see it.
    pub(super) sentence: String,
}

/// A second of the recording.
pub(super) struct Moment {
    pub(super) clock: String,
    pub(super) address: String,
}

/// Where the channel was angriest.
pub(super) struct Peak {
    pub(super) percent: String,
    pub(super) at: Option<Moment>,
}

impl Row {
    pub(super) fn new(f: &Frame, filter: &Filter, row: &CallRow) -> Self {
        let (a, call) = (&row.analysis, &row.analysis.recording.call);
        let at = filter.offset.local(a.called_at);
        let narrower = |name, value: &Option<String>| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some(Narrower { text: visible(value).into_owned(), address: filter.with(PATH, &[(name, Some(value))]) })
        };
        let mut channels: Vec<_> = row.channels.iter().map(|course| Channel::new(f, row, course)).collect();
        if channels.is_empty() {
            channels.push(Channel::unscored());
        }
        Self {
            job: a.job_id,
            at: a.called_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            day: at.format("%Y-%m-%d").to_string(),
            clock: at.format("%H:%M").to_string(),
            name: visible(file_name(&a.recording.key)).into_owned(),
            call_id: call.call_id.as_deref().map(|id| visible(id).into_owned()),
            agent: narrower("agent", &call.agent),
            team: narrower("team", &call.team),
            customer: narrower("customer", &call.customer),
            length: a.recording.duration_s.map(to_seconds).unwrap_or_default(),
            alerts: row.alerts,
            reviewed: row.reviews > 0,
            channels,
        }
    }
}

impl Channel {
    fn new(f: &Frame, row: &CallRow, course: &ChannelCourse) -> Self {
        let moment = |seconds: f32| {
            let (seconds, job) = (f64::from(seconds.max(0.0)), row.analysis.job_id);
            // A tenth of a second is exact enough, and keeps the address short.
            let address = format!("/recognise/{job}?t={}", (seconds * 10.0).round() / 10.0);
            Moment { clock: to_seconds(seconds), address }
        };
        // The usual one: a customer alone.
        let named = row.channels.len() > 1 || course.role != Role::Customer;
        Self {
            role: named.then(|| f.t(&format!("role-{}", course.role.label()))),
            emotion: course.emotion,
            percent: course.confidence.map(whole_percent).unwrap_or_default(),
            trend: course.first_third.zip(course.last_third).map(|(first, last)| Trend::new(f, first, last)),
            turned: course.turned_at_s.map(moment),
            peak: course.peak_angry.map(|peak| Peak {
                percent: whole_percent(peak),
                at: course.peak_angry_at_s.filter(|_| peak >= HEARD).map(moment),
            }),
        }
    }

    fn unscored() -> Self {
        Self { role: None, emotion: None, percent: String::new(), trend: None, turned: None, peak: None }
    }
}

impl Trend {
    fn new(f: &Frame, first: f32, last: f32) -> Self {
        let (class, arrow, key) = match last - first {
            shift if shift >= STEADY => ("worse", "↗", "trend-worse"),
            shift if shift <= -STEADY => ("better", "↘", "trend-better"),
            _ => ("steady", "→", "trend-steady"),
        };
        let (first, last) = (whole_percent(first), whole_percent(last));
        let sentence = f.fill(key, &[("first", &first), ("last", &last)]);
        Self { class, arrow, first, last, sentence }
    }
}

/// `87`
fn whole_percent(probability: f32) -> String {
    format!("{:.0}", probability * 100.0)
}
