//! What a watcher does with a recording that it finds: wait, enqueue, or nothing, because it did so before.

use adapters::postgres::{JOBS_PER_CHUNK, NewBatch, RecordingState};
use adapters::retry::retry_while_unless;
use adapters::s3::{ObjectInfo, Store};
use chrono::Utc;
use domain::{BatchId, Failure, Job, ObjectRef};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::call_data::{CallData, Facts};
use super::rest::Rest;
use super::tally::Tally;
use crate::enqueue::enqueuer::{Enqueuer, chosen};
use crate::enqueue::registration::Wanted;
use crate::error::ProducerError;
use crate::meter::Meter;
use crate::services::POSTGRES;
use crate::source::folder::Tree;
use crate::source::looks_like_audio;
use crate::source::recordings::Recording;

/// Time within which a job that another watcher has registered, and not yet marked as published, is left to it.
pub(super) const IN_HAND: Duration = Duration::from_secs(20);
/// What has been settled is remembered up to this number; past it the database is asked again.
const MOST_SEEN: usize = 2_000_000;

/// Something that may be a recording.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) object: ObjectInfo,
    /// The file of call data that was found beside it.
    pub(super) sidecar: Option<ObjectInfo>,
    /// The sidecar is a local file of this folder, and its key a path.
    pub(super) folder: Option<Tree>,
}

/// What to do with a candidate now.
#[derive(Debug)]
pub(super) enum Look {
    /// [`Intake::take`] it.
    Take(Candidate),
    /// Nothing: it is settled, or no recording.
    Settled,
    /// Look again, after this time at the earliest.
    Wait {
        after: Duration,
        /// For call data, and not for rest.
        for_call_data: bool,
    },
}

/// What is left of a chunk of candidates.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Another watcher has them in flight: look again later.
    pub(super) in_flight: Vec<Candidate>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) rest: Duration,
    pub(super) grace: Duration,
}

/// Takes recordings of one place.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) enqueuer: Enqueuer,
    pub(super) store: Store,
    pub(super) bucket: String,
    /// Name of the batch, where the user gave one; otherwise the place, to which the day is added.
    pub(super) batch: Result<String, String>,
    pub(super) source: String,
    /// Bucket and prefix (with its `/`) of artifacts, which are never recordings.
    pub(super) artifacts: (String, String),
    pub(super) all: bool,
    /// What was written longer ago is left alone.
    pub(super) newer_than: Option<Duration>,
    pub(super) call_data: CallData,
    pub(super) times: Times,
    pub(super) seen: Mutex<HashSet<u64>>,
    pub(super) rest: Rest,
    pub(super) tally: Tally,
    pub(super) meter: Meter,
    pub(super) stop: CancellationToken,
}

impl Intake {
    /// Whether a key may be that of a recording, by its name. Each other one is counted once.
    pub(super) fn is_wanted(&self, key: &str) -> bool {
        let (artifact_bucket, artifact_prefix) = &self.artifacts;
        let artifact = self.bucket == *artifact_bucket && key.starts_with(artifact_prefix.as_str());
        if key.ends_with('/') || artifact {
            return false;
        }
        let wanted = self.all || looks_like_audio(key);
        if !wanted && self.settle(hash(&("not audio", key))) {
            self.tally.not_audio.inc();
        }
        wanted
    }

    /// What to do with a candidate. Asks no service.
    pub(super) fn look(&self, candidate: Candidate) -> Look {
        let mark = self.mark(&candidate);
        if self.is_settled(mark) {
            return Look::Settled;
        }
        let object = &candidate.object;
        if let Err(failure) = ObjectRef::validate_key(&object.key) {
            self.leave_out(mark, &format!("s3://{}/{}: {}", self.bucket, object.key, failure.message));
            return Look::Settled;
        }
        if self.is_old(&candidate) {
            if self.settle(mark) {
                self.tally.older.inc();
            }
            return Look::Settled;
        }
        let growing = std::iter::once(object).chain(candidate.sidecar.as_ref());
        let wait = growing.filter_map(|object| self.rest.wait(hash_of(object), object.modified, self.times.rest)).max();
        if let Some(after) = wait {
            return Look::Wait { after, for_call_data: false };
        }
        if self.call_data.is_expected() && self.call_data.version(&candidate).is_none() {
            let wait = self.rest.wait(hash_of(object), object.modified, self.times.grace);
            if let Some(after) = wait {
                return Look::Wait { after, for_call_data: true };
            }
        }
        Look::Take(candidate)
    }

    /// Whether recording and call data were written before what is wanted.
    fn is_old(&self, candidate: &Candidate) -> bool {
        let Some(age) = self.newer_than else { return false };
        let old = |object: &ObjectInfo| {
            let since = object.modified.and_then(|at| (Utc::now() - at).to_std().ok());
            since.is_some_and(|since| since > age)
        };
        old(&candidate.object) && candidate.sidecar.as_ref().is_none_or(old)
    }

    /// Enqueues those of the candidates that are not enqueued, and corrects the call data of the others. When it returns,
    /// what was enqueued is confirmed and marked.
    ///
    /// # Errors
    /// Of a service. What was registered until then is published by whoever looks at it next.
    pub(super) async fn take(&self, candidates: Vec<Candidate>) -> Result<Left, ProducerError> {
        let mut left = Left::default();
        let mut candidates = candidates.into_iter();
        loop {
            let chunk: Vec<Candidate> = candidates.by_ref().take(JOBS_PER_CHUNK).collect();
            if chunk.is_empty() {
                return Ok(left);
            }
            left.in_flight.extend(self.take_chunk(chunk).await?);
        }
    }

    async fn take_chunk(&self, chunk: Vec<Candidate>) -> Result<Vec<Candidate>, ProducerError> {
        let states = self.states(&chunk).await?;
        let (mut open, mut in_flight) = (Vec::new(), Vec::new());
        for (candidate, state) in chunk.into_iter().zip(states) {
            match self.course(&candidate, &state) {
                Course::Settled => self.settle_candidate(&candidate),
                Course::InFlight => in_flight.push(candidate),
                course => open.push((candidate, course, state)),
            }
        }
        let facts =
            self.call_data.read(&self.store, &self.bucket, open.iter().map(|(candidate, ..)| candidate)).await?;
        let batch = self.batch();
        let (mut new, mut again, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        // Of recordings with call data: its version, and whether the recording was enqueued before.
        let (mut versions, mut known) = (Vec::new(), Vec::new());
        for ((candidate, course, state), facts) in open.into_iter().zip(facts) {
            let (mark, rested) = (self.mark(&candidate), hash_of(&candidate.object));
            let facts = match facts {
                Ok(facts) => facts,
                Err(why) => {
                    self.leave_out(mark, &why);
                    continue;
                }
            };
            let key = candidate.object.key.clone();
            let version = facts.as_ref().map(|facts| facts.version.clone());
            let job = self.job(batch.id, candidate.object, facts);
            // By the code with which a worker would refuse it.
            if let Err(failure) = Job::received(&job.to_json()) {
                self.leave_out(mark, &format!("s3://{}/{key}: {}", self.bucket, failure.message));
                continue;
            }
            if let Some(version) = version {
                versions.push((job.object.clone(), version));
                known.push(state.any_job);
            } else if self.call_data.is_expected() && !state.any_job {
                self.tally.without_call_data.inc();
            }
            marks.push((mark, rested));
            if matches!(course, Course::Again) { again.push(job) } else { new.push(job) }
        }
        self.register_and_publish(&batch, new, again).await?;
        if !versions.is_empty() {
            let changed = self.database(|| self.enqueuer.database.set_call_data_versions(&versions)).await?;
            // Counted by what changed: a listing and a notification may bring the same version at the same time.
            self.tally.corrected.inc_by(changed.into_iter().filter(|position| known[*position]).count() as u64);
        }
        for (mark, rested) in marks {
            self.settle(mark);
            self.rest.forget(rested);
        }
        Ok(in_flight)
    }

    /// New jobs are published by the watcher that registers them first; those that were left unconfirmed, again.
    async fn register_and_publish(&self, batch: &NewBatch, new: Vec<Job>, again: Vec<Job>) -> Result<(), Failure> {
        let (mut jobs, mut wanted) = (Vec::new(), Vec::new());
        for (some, which) in [(new, Wanted::New), (again, Wanted::Open { force: false })] {
            if some.is_empty() {
                continue;
            }
            let registered = self.enqueuer.register(batch, some, which, &self.stop).await?;
            for (job, failure) in registered.refused {
                self.tally.left_out.inc();
                let what = format!("s3://{}/{}: {}", self.bucket, job.object.key, failure.message);
                self.meter.say(&format!("left out  {what}"));
            }
            jobs.extend(registered.jobs);
            wanted.extend(registered.wanted);
        }
        let jobs = chosen(jobs, &wanted);
        let count = jobs.len() as u64;
        self.enqueuer.publish(jobs).await?;
        self.tally.enqueued.inc_by(count);
        Ok(())
    }

    async fn states(&self, chunk: &[Candidate]) -> Result<Vec<RecordingState>, Failure> {
        let object = |candidate: &Candidate| ObjectRef {
            bucket: self.bucket.clone(),
            key: candidate.object.key.clone(),
            etag: candidate.object.etag.clone(),
        };
        let objects: Vec<ObjectRef> = chunk.iter().map(object).collect();
        let options = self.enqueuer.analysis(None);
        self.database(|| self.enqueuer.database.recording_states(&objects, &options, IN_HAND)).await
    }

    fn course(&self, candidate: &Candidate, state: &RecordingState) -> Course {
        let version = self.call_data.version(candidate);
        if state.pruned {
            self.tally.pruned.inc();
            return Course::Settled;
        }
        // Roles in call data make another job of the same recording.
        let known = if self.call_data.is_expected() { state.any_job } else { state.same_job };
        match (known, state.unconfirmed) {
            (true, true) if state.in_flight => Course::InFlight,
            (true, true) => Course::Again,
            (true, false) if version.is_none() || version == state.call_data_version => {
                self.tally.known.inc();
                Course::Settled
            }
            _ => Course::New,
        }
    }

    fn job(&self, batch: BatchId, object: ObjectInfo, facts: Option<Facts>) -> Job {
        let (call, channels) = facts.map(|facts| (facts.call, facts.channels)).unwrap_or_default();
        self.enqueuer.job(batch, Recording { call, channels, ..Recording::of(&self.bucket, object) })
    }

    fn batch(&self) -> NewBatch {
        let name = match &self.batch {
            Ok(name) => name.clone(),
            Err(place) => format!("{place} {}", Utc::now().format("%Y-%m-%d")),
        };
        NewBatch { id: BatchId::from_name(&name), name, source: self.source.clone() }
    }

    /// Asks the database, and waits for it as the user wants, but not past the stop.
    pub(super) async fn database<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        retry_while_unless(&self.stop, self.enqueuer.policy, POSTGRES, ask).await
    }

    /// Tells why something is left out, and looks at it no more as it is.
    pub(super) fn leave_out(&self, mark: u64, why: &str) {
        if self.settle(mark) {
            self.tally.left_out.inc();
            self.meter.say(&format!("left out  {why}"));
        }
    }

    /// A hash of a candidate as it is now, with its call data.
    pub(super) fn mark(&self, candidate: &Candidate) -> u64 {
        hash(&(hash_of(&candidate.object), self.call_data.version(candidate)))
    }

    fn settle_candidate(&self, candidate: &Candidate) {
        self.settle(self.mark(candidate));
        self.rest.forget(hash_of(&candidate.object));
    }

    fn is_settled(&self, mark: u64) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&mark)
    }

    /// False: it was settled before.
    pub(super) fn settle(&self, mark: u64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_SEEN {
            seen.clear();
        }
        seen.insert(mark)
    }
}

/// What is to be done with a candidate, by what the database knows.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// Nothing.
    Settled,
    /// Another watcher publishes it.
    InFlight,
    /// Register it, and publish it if it had no row.
    New,
    /// It has a row; its message was never confirmed.
    Again,
}

pub(super) fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A hash of name and content, as far as the store tells.
fn hash_of(object: &ObjectInfo) -> u64 {
    hash(&(&object.key, &object.etag, object.bytes, object.modified))
}
