//! Jobs with a request waiting for their result. One statement polls all of them; progress notifications arrive in between.

use adapters::postgres::Database;
use adapters::postgres::Status;
use adapters::postgres::console::{JobState, ProgressNote};
use domain::{Failure, JobId};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Pause after the database did not answer. Short, since requests wait for the states.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the places in the queue are not read again.
const NUMBERED: Duration = Duration::from_millis(500);
/// A job that has been watched for less than this stays known even when no request waits for it.
const LINGER: Duration = Duration::from_secs(5);

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// In the queue.
    Queued,
    /// Failed; another attempt follows after a pause.
    Retrying,
    /// A worker has it.
    Taken,
    /// The worker fetches the recording.
    Fetch,
    /// The worker decodes and scores it.
    Analyze,
    /// The worker stores the results.
    Upload,
    /// Done.
    Done,
    /// Failed for good.
    Failed,
    /// Deleted meanwhile, with all that was known of it.
    Deleted,
}

/// The state of a job, for the requests and pages that wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    /// How far it is.
    pub stage: Stage,
    /// Place among the uploads of all consoles that no worker has taken yet, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// How many of those there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// The worker that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Segments scored so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u32>,
    /// Segments found so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Stable code of the failure, once failed or while retrying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The failure itself; its message is not for callers.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

impl Progress {
    fn queued() -> Self {
        Self {
            stage: Stage::Queued,
            place: None,
            waiting: None,
            worker: None,
            done: None,
            total: None,
            code: None,
            failure: None,
        }
    }

    /// What a row says.
    pub(crate) fn of(status: Status, worker: Option<String>, failure: Option<Failure>) -> Self {
        let stage = match status {
            Status::Queued => Stage::Queued,
            Status::Retrying => Stage::Retrying,
            Status::Running => Stage::Taken,
            Status::Done => Stage::Done,
            Status::Failed => Stage::Failed,
        };
        let code = failure.as_ref().map(|failure| failure.code.code());
        Self { stage, worker, code, failure, ..Self::queued() }
    }

    /// Whether it has ended.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::Failed | Stage::Deleted)
    }
}

/// The watched jobs.
#[derive(Default)]
pub(crate) struct Hub {
    jobs: Mutex<HashMap<JobId, Watched>>,
    wake: Notify,
}

struct Watched {
    progress: watch::Sender<Progress>,
    since: Instant,
}

impl Hub {
    /// Watches a job; the receiver is closed after its end.
    pub(crate) fn watch(&self, job: JobId) -> watch::Receiver<Progress> {
        let new = || Watched { progress: watch::channel(Progress::queued()).0, since: Instant::now() };
        let receiver = self.jobs().entry(job).or_insert_with(new).progress.subscribe();
        self.wake.notify_one();
        receiver
    }

    /// Watches a job whose state is known: the first state is that one.
    pub(crate) fn watch_from(&self, job: JobId, progress: Progress) -> watch::Receiver<Progress> {
        if progress.ended() {
            return watch::channel(progress).1;
        }
        self.watch(job)
    }

    /// Waits for a job's end; `None`: not within `limit`.
    pub(crate) async fn ended(&self, job: JobId, limit: Duration) -> Option<Progress> {
        let mut progress = self.watch(job);
        let ended = tokio::time::timeout(limit, progress.wait_for(Progress::ended)).await;
        ended.ok()?.ok().map(|progress| progress.clone())
    }

    /// Reads the states of all watched jobs from the database, again and again, until `stop`.
    pub(crate) async fn run(&self, database: Database, stop: CancellationToken) {
        let mut numbered = None;
        while !stop.is_cancelled() {
            let jobs = self.watched();
            let pause = if jobs.is_empty() {
                Duration::from_secs(3600)
            } else {
                match database.job_states(&jobs).await {
                    Ok(states) => {
                        self.apply(&jobs, &states);
                        self.number_the_queue(&database, &mut numbered).await;
                        self.pause()
                    }
                    Err(failure) => {
                        tracing::warn!(%failure, "the states of jobs can't be read");
                        AGAIN
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Listens for notes of workers until `stop`. Without them, states come from [`Self::run`] only.
    pub(crate) async fn listen(&self, database: Database, stop: CancellationToken) {
        let listening = async {
            loop {
                if let Ok(mut news) = database.progress_news().await {
                    while let Ok(note) = news.next().await {
                        if let Some(note) = note {
                            self.note(&note);
                        }
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = listening => {}
            () = stop.cancelled() => {}
        }
    }

    fn note(&self, note: &ProgressNote) {
        let stage = match note.stage.as_str() {
            "fetch" => Stage::Fetch,
            "analyze" => Stage::Analyze,
            "upload" => Stage::Upload,
            // The end of a job is in its row.
            _ => return self.wake.notify_one(),
        };
        if let Some(watched) = self.jobs().get(&note.job_id) {
            watched.progress.send_if_modified(|progress| {
                if progress.ended() {
                    return false;
                }
                let before = progress.clone();
                (progress.stage, progress.done, progress.total) = (stage, note.done, note.total);
                (progress.place, progress.waiting) = (None, None);
                *progress != before
            });
        }
    }

    /// `asked`: the jobs whose states were asked for. A job is registered before it is watched, so one without a state has
    /// been deleted.
    fn apply(&self, asked: &[JobId], states: &[JobState]) {
        let mut jobs = self.jobs();
        let found: HashSet<JobId> = states.iter().map(|state| state.job_id).collect();
        for watched in asked.iter().filter(|job| !found.contains(job)).filter_map(|job| jobs.get(job)) {
            watched
                .progress
                .send_modify(|progress| *progress = Progress { stage: Stage::Deleted, ..Progress::queued() });
        }
        for state in states {
            let Some(watched) = jobs.get(&state.job_id) else { continue };
            watched.progress.send_if_modified(|progress| {
                let before = progress.clone();
                progress.worker.clone_from(&state.worker);
                progress.failure.clone_from(&state.failure);
                progress.code = state.failure.as_ref().map(|failure| failure.code.code());
                progress.stage = match state.status {
                    Status::Queued => Stage::Queued,
                    Status::Retrying => Stage::Retrying,
                    // A note of the worker is more precise than the row.
                    Status::Running => progress.stage.clamp(Stage::Taken, Stage::Upload),
                    Status::Done => Stage::Done,
                    Status::Failed => Stage::Failed,
                };
                if progress.stage != Stage::Queued {
                    (progress.place, progress.waiting) = (None, None);
                }
                *progress != before
            });
        }
        jobs.retain(|_, watched| {
            let waited_for = watched.progress.receiver_count() > 0 || watched.since.elapsed() < LINGER;
            waited_for && !watched.progress.borrow().ended()
        });
    }

    /// Tells the jobs that wait of their place, twice a second.
    async fn number_the_queue(&self, database: &Database, numbered: &mut Option<Instant>) {
        let waits = |watched: &&Watched| watched.progress.borrow().stage == Stage::Queued;
        let waiting: Vec<JobId> = self.jobs().iter().filter(|(_, w)| waits(w)).map(|(job, _)| *job).collect();
        if waiting.is_empty() || numbered.is_some_and(|at| at.elapsed() < NUMBERED) {
            return;
        }
        *numbered = Some(Instant::now());
        // Without the places, the stages are still right.
        let Ok(places) = database.places(&waiting).await else { return };
        let jobs = self.jobs();
        for place in places {
            let Some(watched) = jobs.get(&place.job_id) else { continue };
            watched.progress.send_if_modified(|progress| {
                let before = (progress.place, progress.waiting);
                if progress.stage == Stage::Queued {
                    (progress.place, progress.waiting) = (Some(place.place), Some(place.waiting));
                }
                before != (progress.place, progress.waiting)
            });
        }
    }

    fn watched(&self) -> Vec<JobId> {
        self.jobs().keys().copied().collect()
    }

    /// The pause between two polls: short while a job is young.
    fn pause(&self) -> Duration {
        let youngest = self.jobs().values().map(|watched| watched.since.elapsed()).min();
        match youngest.map(|age| age.as_secs()) {
            Some(0..3) => Duration::from_millis(30),
            Some(3..20) => Duration::from_millis(150),
            _ => Duration::from_millis(750),
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Watched>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
