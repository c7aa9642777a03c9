//! How the fleet does: queues, jobs, failures, batches and deliveries of alerts.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

mod snapshot;

use adapters::amqp::{Lane, Topology};
use adapters::postgres::BatchSummary;
use adapters::postgres::console::JobCounts;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::visible::visible;
use std::sync::Arc;

pub(crate) use snapshot::Operations;

use self::snapshot::{FailureLine, Snapshot};
use super::error::{error_key, sentence};
use super::frame::{Frame, html};
use crate::app::Shared;
use crate::auth::{Caller, Reads};
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    f: Frame,
    now: Arc<Snapshot>,
    topology: Topology,
}

/// What a queue is for.
struct Queue {
    key: &'static str,
    /// The model, or the delay.
    of: String,
    name: String,
    messages: u32,
    consumers: u32,
    /// Jobs wait and nobody takes them.
    abandoned: bool,
    dead: bool,
}

impl OperationsPage {
    fn queues(&self) -> Result<Vec<Queue>, String> {
        let depths = self.now.queues.as_ref().map_err(|problem| self.sentence(problem))?;
        Ok(depths.iter().map(|depth| self.queue(depth)).collect())
    }

    fn queue(&self, depth: &adapters::amqp::Depth) -> Queue {
        let part = |of: String| depth.queue.strip_prefix(&format!("{of}.")).map(str::to_owned);
        let dead = depth.queue == self.topology.dead();
        let (key, of) = if dead {
            ("queue-dead", String::new())
        } else if let Some(model) = part(self.topology.intake(Lane::Interactive)) {
            ("queue-interactive", model)
        } else if let Some(model) = part(self.topology.intake(Lane::Bulk)) {
            ("queue-bulk", model)
        } else if Lane::ALL.iter().any(|lane| self.topology.intake(*lane) == depth.queue) {
            ("queue-unsorted", String::new())
        } else {
            ("queue-retry", depth.queue.rsplit('.').next().unwrap_or_default().to_owned())
        };
        let jobs = matches!(key, "queue-interactive" | "queue-bulk" | "queue-unsorted");
        let (messages, consumers) = (depth.messages, depth.consumers);
        let abandoned = jobs && messages > 0 && consumers == 0;
        Queue { key, of, name: depth.queue.clone(), messages, consumers, abandoned, dead: dead && messages > 0 }
    }

    fn sentence(&self, problem: &Problem) -> String {
        sentence(&self.f, problem)
    }

    /// What a failure code means; empty for codes of a newer program.
    fn meaning(&self, line: &FailureLine) -> String {
        self.f.lang.find(&error_key(&line.code), None).unwrap_or_default()
    }

    /// States of jobs with their numbers; a `+` marks what is a lower bound.
    fn states(counts: &JobCounts) -> [(&'static str, String); 5] {
        let open = |n| number(n, counts.more_open());
        let ended = |n| number(n, JobCounts::more_ended(n));
        [
            ("state-queued", open(counts.queued)),
            ("state-running", open(counts.running)),
            ("state-retrying", open(counts.retrying)),
            ("state-done", ended(counts.done)),
            ("state-failed", ended(counts.failed)),
        ]
    }

    fn time(at: &DateTime<Utc>) -> String {
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    fn number(count: &u64) -> String {
        number(*count, false)
    }

    fn ended(batch: &BatchSummary) -> u64 {
        batch.done + batch.failed
    }

    fn shown(text: &str) -> String {
        visible(text).into_owned()
    }

    /// For how long, in the largest unit that fits.
    fn since(&self, at: &DateTime<Utc>) -> String {
        let s = (self.now.at - *at).num_seconds().max(0);
        let (key, n) = match s {
            0..120 => ("for-seconds", s),
            120..7200 => ("for-minutes", s / 60),
            7200..172_800 => ("for-hours", s / 3600),
            _ => ("for-days", s / 86_400),
        };
        self.f.n(key, &(n as f64))
    }
}

/// With spaces between thousands.
fn number(count: u64, more: bool) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if more { text + "+" } else { text }
}

/// `GET /operations`
pub(super) async fn page(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Reads>,
    f: Frame,
) -> Result<Response, Problem> {
    caller.require_all_teams()?;
    let now = app.operations.now(&app).await;
    html(&OperationsPage { f, now, topology: Topology::new(&app.settings.amqp) })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1000].map(|n| number(n, false)), ["0", "999", "1\u{202f}000"]);
        assert_eq!(number(1_000_000, true), "1\u{202f}000\u{202f}000+");
    }
}
