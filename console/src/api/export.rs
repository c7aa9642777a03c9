//! All calls of a filter as one file, streamed: page after page from the database, a page in memory at a time.

use adapters::postgres::console::{AnalysisFilter, AuditEntry, CallRow, ChannelCourse, Cursor};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::Emotion;
use domain::spreadsheet::{BYTE_ORDER_MARK, cell};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::analyses::EmotionLabel;
use super::model::{NineScores, file_name};
use super::predictions::Refused;
use crate::app::{App, Shared};
use crate::auth::{Administers, Caller, Principal};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::CallFilter;

/// Rows read at once.
const PAGE: u32 = 500;

/// The file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
pub(super) enum ExportFile {
    /// Comma-separated values, UTF-8 with a byte order mark.
    #[serde(rename = "calls.csv")]
    Csv,
    /// A JSON object on each line.
    #[serde(rename = "calls.jsonl")]
    Jsonl,
}

/// Which calls.
#[derive(Debug, Deserialize, Serialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// Calls from this moment on, RFC 3339.
    from: Option<DateTime<Utc>>,
    /// Calls before this moment, RFC 3339.
    to: Option<DateTime<Utc>>,
    /// Likeliest emotion.
    #[param(inline)]
    emotion: Option<EmotionLabel>,
    /// Team of the agent.
    #[param(pattern = r"^[^\u0000]*$")]
    team: Option<String>,
    /// Agent.
    #[param(pattern = r"^[^\u0000]*$")]
    agent: Option<String>,
    /// Customer.
    #[param(pattern = r"^[^\u0000]*$")]
    customer: Option<String>,
    /// Only calls on which an alert fired; false by default.
    alerts: Option<bool>,
}

impl From<ExportQuery> for CallFilter {
    fn from(query: ExportQuery) -> Self {
        Self {
            from: query.from,
            to: query.to,
            emotion: query.emotion.map(Into::into),
            team: query.team,
            agent: query.agent,
            customer: query.customer,
            alerts: query.alerts.unwrap_or_default(),
        }
    }
}

/// The text of an export.
#[derive(ToSchema)]
#[schema(value_type = String)]
#[expect(dead_code, reason = "describes an answer")]
pub(super) struct ExportText(String);

/// Export calls
///
/// One row for each scored channel of each call, newest call first, as `calls.csv` or `calls.jsonl`. Texts that a spreadsheet
/// would take for a formula begin with `'` in CSV. A connection that ends before the answer's end means that a service
/// failed. Needs the role admin, and is recorded in the audit trail.
#[utoipa::path(
    get, path = "/api/v1/export/{file}", operation_id = "export_calls", tag = "calls",
    params(("file" = ExportFile, Path), ExportQuery),
    responses((status = 200, description = "The calls", content((ExportText = "text/csv"), (ExportText = "application/jsonl"))),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 503, response = Refused))
)]
pub(super) async fn calls(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Administers>,
    Path(file): Path<ExportFile>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    app.note_export(&caller, file, &query).await?;
    let filter = CallFilter::from(query).seen_by(&caller)?;
    // The first page is read before the answer begins: a service that is away is a 503, and not a broken file.
    let first = app.database.calls(&filter, None, PAGE).await?;
    let (kind, name) = match file {
        ExportFile::Csv => ("text/csv; charset=utf-8", "calls.csv"),
        ExportFile::Jsonl => ("application/jsonl", "calls.jsonl"),
    };
    let mut response = Body::from_stream(pages(app, filter, file, first)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// The file, a page of the database at a time.
fn pages(
    app: Shared,
    filter: AnalysisFilter,
    file: ExportFile,
    first: Vec<CallRow>,
) -> impl stream::Stream<Item = Result<Bytes, std::io::Error>> + Send {
    let begin = Some((Some(first), None::<Cursor>));
    stream::try_unfold(begin, move |state| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let Some((page, after)) = state else { return Ok(None) };
            let head = page.is_some();
            let rows = match page {
                Some(rows) => rows,
                None => app.database.calls(&filter, after, PAGE).await.map_err(|failure| {
                    tracing::warn!(%failure, "an export ended early");
                    std::io::Error::other("the export ended early")
                })?,
            };
            let last = rows.last().map(|row| Cursor { at: row.analysis.called_at, id: row.analysis.job_id.0 });
            let next = if rows.len() == PAGE as usize { Some((None, last)) } else { None };
            let text = match file {
                ExportFile::Csv => csv_rows(&rows, head)?,
                ExportFile::Jsonl => rows.iter().flat_map(json_rows).collect(),
            };
            Ok(Some((Bytes::from(text), next)))
        }
    })
}

/// Columns of the CSV; nine scores follow.
const COLUMNS: [&str; 25] = [
    "job_id",
    "call_id",
    "called_at",
    "agent",
    "team",
    "customer",
    "file",
    "duration_s",
    "model",
    "model_version",
    "emotion",
    "confidence",
    "alerts",
    "channel",
    "role",
    "channel_emotion",
    "speech_s",
    "angry_s",
    "negative_s",
    "peak_angry",
    "peak_angry_at_s",
    "first_third",
    "last_third",
    "shift",
    "turned_at_s",
];

/// The fields of each scored channel of a call, in the order of [`COLUMNS`] and the scores.
fn fields(row: &CallRow) -> Vec<Vec<String>> {
    let a = &row.analysis;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |value: Option<f32>| value.map(|number| number.to_string()).unwrap_or_default();
    let label = |emotion: Option<Emotion>| emotion.map(Emotion::label).unwrap_or_default().to_owned();
    let scores = Emotion::ALL.map(|emotion| number(a.scores.map(|scores| scores.of(emotion))));
    let of_channel = |c: &ChannelCourse| {
        let fields: [String; COLUMNS.len()] = [
            a.job_id.to_string(),
            text(&a.recording.call.call_id),
            a.called_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            text(&a.recording.call.agent),
            text(&a.recording.call.team),
            text(&a.recording.call.customer),
            file_name(&a.recording.key).to_owned(),
            a.recording.duration_s.map(|s| s.to_string()).unwrap_or_default(),
            a.model_name.clone(),
            text(&a.model_version),
            label(a.emotion),
            number(a.confidence),
            row.alerts.to_string(),
            c.channel.map_or_else(|| "mix".into(), |channel| channel.to_string()),
            c.role.label().to_owned(),
            label(c.emotion),
            c.speech_s.to_string(),
            c.angry_s.to_string(),
            c.negative_s.to_string(),
            number(c.peak_angry),
            number(c.peak_angry_at_s),
            number(c.first_third),
            number(c.last_third),
            number(c.last_third.zip(c.first_third).map(|(last, first)| last - first)),
            number(c.turned_at_s),
        ];
        fields.into_iter().chain(scores.clone()).collect()
    };
    row.channels.iter().map(of_channel).collect()
}

fn csv_rows(rows: &[CallRow], head: bool) -> Result<Vec<u8>, std::io::Error> {
    let mut text = if head { BYTE_ORDER_MARK.as_bytes().to_vec() } else { Vec::new() };
    let mut csv = csv::Writer::from_writer(&mut text);
    if head {
        let scores = Emotion::ALL.map(|emotion| format!("score_{}", emotion.label()));
        csv.write_record(COLUMNS.iter().copied().chain(scores.iter().map(String::as_str)))?;
    }
    for fields in rows.iter().flat_map(fields) {
        // Numbers keep their sign: what only the fleet writes is no formula.
        csv.write_record(fields.iter().map(|field| if is_number(field) { field.clone() } else { cell(field) }))?;
    }
    csv.flush()?;
    drop(csv);
    Ok(text)
}

fn is_number(field: &str) -> bool {
    field.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A line for each scored channel of a call.
fn json_rows(row: &CallRow) -> Vec<u8> {
    let a = &row.analysis;
    let channels = row.channels.iter().map(|c| {
        json!({
            "job_id": a.job_id, "call_id": a.recording.call.call_id, "called_at": a.called_at,
            "agent": a.recording.call.agent, "team": a.recording.call.team, "customer": a.recording.call.customer,
            "attributes": a.recording.call.attributes, "file": file_name(&a.recording.key),
            "duration_s": a.recording.duration_s, "model": a.model_name, "model_version": a.model_version,
            "emotion": a.emotion, "confidence": a.confidence, "scores": a.scores.map(NineScores::from),
            "channel": c.channel, "role": c.role, "channel_emotion": c.emotion, "speech_s": c.speech_s, "angry_s": c.angry_s,
            "negative_s": c.negative_s, "peak_angry": c.peak_angry, "peak_angry_at_s": c.peak_angry_at_s,
            "first_third": c.first_third, "last_third": c.last_third, "turned_at_s": c.turned_at_s,
            "alerts": row.alerts,
        })
    });
    channels.flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

impl App {
    /// What can't be recorded is not exported.
    async fn note_export(&self, caller: &Principal, file: ExportFile, query: &ExportQuery) -> Result<(), Problem> {
        let (who, address) = (caller.name(), caller.address.to_string());
        let filter = serde_json::to_value(query).unwrap_or_default();
        let named = filter.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let named: Vec<String> = named
            .map(|(name, value)| format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        let name = if file == ExportFile::Csv { "calls.csv" } else { "calls.jsonl" };
        let detail = [vec![name.to_owned()], named].concat().join(" ");
        let entry = AuditEntry { who: &who, action: "export", job_id: None, detail: &detail, address: &address };
        Ok(self.database.audit(&entry).await?)
    }
}
