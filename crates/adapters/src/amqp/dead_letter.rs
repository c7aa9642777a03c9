//! A dead letter: what it says of its job, and which letters a filter takes.

use chrono::{DateTime, Utc};
use domain::{BatchId, Failure, FailureCode, Job, JobId, Lane};
use lapin::BasicProperties;
use std::collections::HashSet;

use super::message::{self, header};
use super::topology::Topology;

/// One dead-lettered job.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The job's identity, or what its sender claimed; empty when it claimed nothing.
    pub id: String,
    /// The message as it came.
    pub body: Vec<u8>,
    /// The failure's code as text: another version may have written it.
    pub code: String,
    /// The failure's sentence.
    pub reason: String,
    /// The worker that dead-lettered it.
    pub worker: String,
    /// How often it had been retried.
    pub retries: u32,
    /// When it was dead-lettered.
    pub failed_at: Option<DateTime<Utc>>,
    /// The lane it came from.
    pub lane: Lane,
    pub(super) properties: BasicProperties,
}

/// Which dead letters. Empty: all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// This identity.
    pub id: Option<String>,
    /// One of these jobs, or of the call below.
    pub jobs: Option<HashSet<JobId>>,
    /// With this call id in its body, whatever its id; or one of the jobs above.
    pub call: Option<String>,
    /// This failure code.
    pub code: Option<String>,
    /// This batch.
    pub batch: Option<BatchId>,
    /// Dead-lettered before this time.
    pub before: Option<DateTime<Utc>>,
    /// Dead-lettered after this time.
    pub after: Option<DateTime<Utc>>,
}

impl DeadLetter {
    pub(super) fn new(body: Vec<u8>, properties: BasicProperties) -> Self {
        let text = |name| message::text(&properties, name);
        let by_broker = message::death(&properties);
        // The id that a message claims is verified where its body is a job.
        let claimed = properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
        let lane = text(header::LANE).and_then(|l| Lane::from_label(&l)).unwrap_or(Lane::Bulk);
        Self {
            id: Job::received(&body).map_or(claimed, |job| job.job_id.to_string()),
            code: text(header::CODE).unwrap_or_else(|| by_broker.code.code().to_owned()),
            reason: text(header::REASON).unwrap_or(by_broker.message),
            worker: text(header::WORKER).unwrap_or_default(),
            retries: message::number(&properties, header::RETRIES).unwrap_or_default(),
            failed_at: text(header::FAILED_AT)
                .and_then(|t| DateTime::parse_from_rfc3339(&t).ok())
                .map(|t| t.with_timezone(&Utc))
                .or_else(|| message::died_at(&properties)),
            lane,
            body,
            properties,
        }
    }

    /// The job whose row this letter is about: by its body, or by the id of a message that is no job. `None` when the message
    /// claims to be another job.
    pub fn row(&self) -> Option<JobId> {
        match Job::received(&self.body) {
            Ok(job) => Some(job.job_id),
            Err(failure) if failure.code == FailureCode::JobIdentityMismatch => None,
            Err(_) => self.id.parse().ok().map(JobId),
        }
    }

    /// The call id in the body, also of a message that no worker takes for a job.
    fn call_id(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.pointer("/call/call_id")?.as_str()?.to_owned())
    }

    /// Where it is replayed: to the queue of its model; to its lane, where any worker refuses it, when it is no job.
    pub(super) fn replayed_to(&self, topology: &Topology) -> String {
        match self.job() {
            Some(job) => topology.jobs(&self.lane.of(job.options.model)),
            None => topology.intake(self.lane),
        }
    }

    /// Why it was set aside. A code of another version is kept in the message.
    pub fn failure(&self) -> Failure {
        match FailureCode::from_code(&self.code) {
            Some(code) => Failure::new(code, self.reason.clone()),
            None => Failure::new(FailureCode::JobSetAside, format!("{}: {}", self.code, self.reason)),
        }
    }

    /// The job, where the message is one that does not claim the identity of another.
    pub fn job(&self) -> Option<Job> {
        Job::received(&self.body).ok()
    }
}

impl Filter {
    pub(super) fn matches(&self, letter: &DeadLetter) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        let time = |wanted: Option<DateTime<Utc>>, holds: fn(&DateTime<Utc>, &DateTime<Utc>) -> bool| {
            wanted.is_none_or(|w| letter.failed_at.is_some_and(|at| holds(&at, &w)))
        };
        let among = |jobs: &HashSet<JobId>| letter.row().is_some_and(|id| jobs.contains(&id));
        let about = match (&self.jobs, &self.call) {
            (None, None) => true,
            (jobs, call) => {
                jobs.as_ref().is_some_and(among) || (call.is_some() && letter.call_id().as_ref() == call.as_ref())
            }
        };
        is(&self.id, &letter.id)
            && about
            && is(&self.code, &letter.code)
            && self.batch.is_none_or(|batch| letter.job().is_some_and(|job| job.batch_id == batch))
            && time(self.before, DateTime::lt)
            && time(self.after, DateTime::gt)
    }
}
