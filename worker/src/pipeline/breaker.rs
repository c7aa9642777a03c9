//! The circuit breaker: a refusal that meets every job is no job's fault. While a service refuses, the worker takes no
//! jobs, asks the service now and then, and goes on when it works.

use adapters::amqp::Link;
use adapters::health::Trouble;
use adapters::postgres::{AttemptToken, Database};
use adapters::retry::Backoff;
use adapters::s3::{self, Store};
use domain::{Failure, FailureCode, Job, JobId, ObjectRef};
use settings::Settings;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Longest that a service may take to answer when it is asked whether it works.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest pause between two questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest wait until no job comes in any more.
const PAUSING: Duration = Duration::from_secs(5);
/// What is denied is tried with jobs after this time: the recording that was denied may be the only one, and while no job is
/// taken nothing shows that others can be read.
const TRIAL: Duration = Duration::from_secs(60);
/// Bytes written to see whether the disk takes any.
const DISK_BYTES: usize = 1 << 20;

/// What a failure says of a service: which to ask, and how.
#[derive(Debug, Clone)]
enum Suspicion {
    Database,
    Store { bucket: String, key: String, denied: bool, writing: bool },
    Disk,
}

/// Shared by all slots of a worker.
pub struct Breaker {
    database: Database,
    store: Store,
    s3: s3::Settings,
    /// Key of the object that is written to see whether the store takes any.
    probe_key: String,
    temp_dir: PathBuf,
    state: watch::Sender<Option<Trouble>>,
    /// Whether jobs are taken.
    gate: watch::Sender<bool>,
    /// The consumers that the gate stops.
    links: OnceLock<Vec<watch::Receiver<Link>>>,
    metrics: Arc<Metrics>,
    opened: Mutex<Opened>,
    /// Attempts that were requeued while the database could not be told.
    owed: Mutex<Vec<(JobId, AttemptToken)>>,
    /// There is one.
    indebted: Notify,
    /// The last recording that was fetched.
    fetched: Mutex<Option<ObjectRef>>,
}

/// Held while state and gate change.
#[derive(Default)]
struct Opened {
    /// How often the breaker was opened: it closes only if it was not opened again since the services were asked.
    times: u64,
    /// What to ask before it closes.
    suspicion: Option<Suspicion>,
    /// When it was opened last.
    at: Option<Instant>,
}

impl Opened {
    /// Whether jobs are to show whether what was denied still is.
    fn is_for_trial(&self, now: Instant) -> bool {
        let denied = matches!(self.suspicion, Some(Suspicion::Store { denied: true, .. }));
        denied && self.at.is_some_and(|at| now >= at + TRIAL)
    }
}

impl Suspicion {
    /// `None`: the failure is the job's own, whatever the services do.
    fn of(failure: &Failure, job: &Job) -> Option<Self> {
        use FailureCode::{
            AudioEmpty, AudioNotAudio, DatabaseNotMigrated, DatabaseRefused, DatabaseUnreachable, ObjectChanged,
            ObjectNotFound, ObjectTooLarge, StoreDenied, StoreRefused, StoreUnreachable, WorkerInternal, WorkerNoSpace,
        };
        let store = |writing| {
            let (bucket, key) = (job.object.bucket.clone(), job.object.key.clone());
            Some(Self::Store { bucket, key, denied: failure.code == StoreDenied, writing })
        };
        match failure.code {
            DatabaseUnreachable | DatabaseNotMigrated | DatabaseRefused => Some(Self::Database),
            StoreUnreachable | StoreDenied | StoreRefused => store(true),
            // A page for people may look like a missing object, another version, or a file that is no recording.
            ObjectNotFound | ObjectChanged | ObjectTooLarge | AudioEmpty | AudioNotAudio => store(false),
            // A temporary folder that is gone, read-only or broken has no code of its own.
            WorkerNoSpace | WorkerInternal => Some(Self::Disk),
            _ => None,
        }
    }
}

impl Breaker {
    /// Closed: jobs are taken. `worker` names the object that is written to see whether the store works.
    pub fn new(settings: &Settings, worker: &str, database: Database, store: Store, metrics: Arc<Metrics>) -> Self {
        let temp_dir = &settings.worker.temp_dir;
        let temp_dir = if temp_dir.as_os_str().is_empty() { std::env::temp_dir() } else { temp_dir.clone() };
        Self {
            database,
            store,
            s3: settings.s3.clone(),
            probe_key: format!("{}/.probe/{worker}", settings.s3.artifact_prefix),
            temp_dir,
            state: watch::Sender::new(None),
            gate: watch::Sender::new(true),
            links: OnceLock::new(),
            metrics,
            opened: Mutex::default(),
            owed: Mutex::default(),
            indebted: Notify::new(),
            fetched: Mutex::default(),
        }
    }

    /// True while jobs may be taken.
    pub fn gate(&self) -> watch::Receiver<bool> {
        self.gate.subscribe()
    }

    /// The consumers that the gate stops. Called once.
    pub fn stops(&self, links: Vec<watch::Receiver<Link>>) {
        // Set once; a second set would be refused and change nothing.
        let _ = self.links.set(links);
    }

    /// Waits until no consumer takes jobs: the broker would deliver what is requeued before that at once again.
    pub async fn paused(&self) {
        let all = async {
            for link in self.links.get().into_iter().flatten() {
                // A link whose consumer is gone takes no jobs either.
                let _ = link.clone().wait_for(|link| *link != Link::Up).await;
            }
        };
        let _ = tokio::time::timeout(PAUSING, all).await;
    }

    /// Follows which service refuses every job; `None` while jobs are taken.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.state.subscribe()
    }

    /// Whether a service fails every job rather than this one. Then the breaker is open.
    pub async fn blames(&self, failure: &Failure, job: &Job) -> bool {
        let Some(suspicion) = Suspicion::of(failure, job) else { return false };
        let Some(trouble) = self.examine(&suspicion).await else { return false };
        self.open(suspicion, trouble);
        true
    }

    /// As [`Self::blames`], for a job in flight that waits for the database.
    pub async fn check_database(&self) {
        if let Some(trouble) = self.examine(&Suspicion::Database).await {
            self.open(Suspicion::Database, trouble);
        }
    }

    /// Notes an attempt that was requeued without the database's knowledge: it is told as soon as it can be.
    pub fn owe(&self, job: JobId, token: AttemptToken) {
        self.owed().push((job, token));
        self.indebted.notify_one();
    }

    /// Notes that a recording was fetched: where another one is denied, this one tells whether all are.
    pub fn fetched(&self, object: &ObjectRef) {
        *self.fetched.lock().unwrap_or_else(PoisonError::into_inner) = Some(object.clone());
    }

    fn open(&self, suspicion: Suspicion, trouble: Trouble) {
        let mut opened = self.opened();
        opened.times += 1;
        opened.suspicion = Some(suspicion);
        opened.at = Some(Instant::now());
        let Trouble { service, why } = &trouble;
        if self.state.borrow().is_none() {
            tracing::error!(service, why, "circuit breaker open: no job is taken, since a service fails every one");
        }
        self.state.send_replace(Some(trouble));
        self.gate.send_replace(false);
        self.metrics.paused(true);
    }

    /// Closes, and gives true, unless the breaker was opened again after this many times: then another service may be at fault.
    fn close(&self, times: u64) -> bool {
        let mut opened = self.opened();
        if opened.times != times {
            return false;
        }
        opened.suspicion = None;
        tracing::info!("circuit breaker closed: jobs are taken again");
        self.metrics.paused(false);
        self.state.send_replace(None);
        self.gate.send_replace(true);
        true
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owed(&self) -> MutexGuard<'_, Vec<(JobId, AttemptToken)>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While the breaker is open, asks the service with growing pauses, and closes the breaker when it works. Tells the database
    /// of attempts that were requeued, whether open or closed.
    pub async fn watch(&self, stop: &CancellationToken) {
        let mut state = self.state.subscribe();
        let mut backoff = Backoff::new(LONGEST_PAUSE);
        loop {
            let open = tokio::select! {
                opened = state.wait_for(Option::is_some) => if opened.is_err() { return } else { true },
                () = self.indebted.notified() => false,
                () = stop.cancelled() => return,
            };
            if open {
                self.until_closed(stop).await;
            } else if let Some(Trouble { why, .. }) = self.settle_debts().await {
                tracing::warn!(why, "an attempt that was requeued stays counted until the database takes it");
                // That one statement failed does not say that all do.
                self.check_database().await;
                tokio::select! {
                    () = tokio::time::sleep(backoff.pause()) => self.indebted.notify_one(),
                    () = stop.cancelled() => return,
                }
            } else {
                backoff.reset();
            }
        }
    }

    async fn until_closed(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::new(LONGEST_PAUSE);
        loop {
            tokio::select! {
                () = tokio::time::sleep(backoff.pause()) => {}
                () = stop.cancelled() => return,
            }
            let (times, suspicion) = {
                let opened = self.opened();
                (opened.times, opened.suspicion.clone())
            };
            let found = match suspicion {
                Some(suspicion) => self.examine(&suspicion).await,
                None => None,
            };
            let found = found.filter(|_| !self.opened().is_for_trial(Instant::now()));
            let found = match found {
                // Before the next attempt of those jobs begins.
                None => self.settle_debts().await,
                trouble => trouble,
            };
            match found {
                None if self.close(times) => return,
                // Opened again meanwhile: there is something else to ask.
                None => {}
                trouble => {
                    let opened = self.opened();
                    if opened.times == times {
                        self.state.send_replace(trouble);
                    }
                }
            }
        }
    }

    /// Tells the database of attempts that were requeued; gives why it can't be told.
    pub async fn settle_debts(&self) -> Option<Trouble> {
        loop {
            let debt = self.owed().last().copied();
            let (job, token) = debt?;
            let why = match tokio::time::timeout(ANSWER, self.database.note_returned(job, token)).await {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure.to_string()),
                Err(_) => Some(format!("no answer in {} s", ANSWER.as_secs())),
            };
            if let Some(why) = why {
                return Some(Trouble { service: "postgres", why });
            }
            self.owed().retain(|owed| *owed != (job, token));
        }
    }

    /// Why a service fails every job; `None` when it works.
    async fn examine(&self, suspicion: &Suspicion) -> Option<Trouble> {
        let (service, examination) = match suspicion {
            Suspicion::Database => ("postgres", tokio::time::timeout(ANSWER, self.database.probe_worker()).await),
            Suspicion::Store { bucket, key, denied, writing } => {
                let asked = self.examine_store(bucket, key, *denied, *writing);
                ("s3", tokio::time::timeout(ANSWER, asked).await)
            }
            Suspicion::Disk => ("disk", Ok(self.examine_disk().await)),
        };
        match examination {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(Trouble { service, why: failure.to_string() }),
            Err(_) => Some(Trouble { service, why: format!("no answer in {} s", ANSWER.as_secs()) }),
        }
    }

    async fn examine_store(&self, bucket: &str, key: &str, denied: bool, writing: bool) -> Result<(), Failure> {
        if writing {
            self.store.probe_write(self.s3.artifact_bucket(), &self.probe_key).await?;
        }
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.store.probe_read((bucket, key), denied, fetched.as_ref()).await {
            // A job may name any bucket. That the worker may not read there is no fault of the store.
            Err(failure) if failure.code != FailureCode::StoreUnreachable && bucket != self.s3.bucket => {
                self.store.probe_read((&self.s3.bucket, ""), false, None).await
            }
            read => read,
        }
    }

    /// Whether the temporary folder takes files.
    ///
    /// # Errors
    /// `worker.no_space`, `worker.internal`.
    pub async fn examine_disk(&self) -> Result<(), Failure> {
        let written = async {
            let folder = tempfile::tempdir_in(&self.temp_dir)?;
            tokio::fs::write(folder.path().join("probe"), vec![0; DISK_BYTES]).await
        };
        written.await.map_err(|e| Failure::disk("writing a temporary file", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        let settings = Settings::from_toml("[s3]\naccess_key = 'a'\nsecret_key = 'b'").expect("settings");
        let database = Database::lazy(&settings.postgres).expect("no network yet");
        let store = Store::new(&settings.s3).expect("no network yet");
        Breaker::new(&settings, "w", database, store, Arc::default())
    }

    fn trouble(service: &'static str) -> Trouble {
        Trouble { service, why: "away".into() }
    }

    #[tokio::test]
    async fn what_is_denied_is_tried_with_jobs_after_a_while() {
        let breaker = breaker();
        let denied = |denied| Suspicion::Store { bucket: "b".into(), key: "k".into(), denied, writing: true };
        for (is_denied, tried) in [(true, true), (false, false)] {
            breaker.open(denied(is_denied), trouble("s3"));
            let now = Instant::now();
            assert!(!breaker.opened().is_for_trial(now));
            assert_eq!(breaker.opened().is_for_trial(now + TRIAL), tried);
        }
    }

    #[tokio::test]
    async fn trouble_that_is_found_while_the_breaker_closes_keeps_it_open() {
        let breaker = breaker();
        let closed = |breaker: &Breaker| *breaker.gate().borrow();
        breaker.open(Suspicion::Database, trouble("postgres"));
        // Asked, Postgres works; but a slot finds the disk full before the breaker closes.
        let times = breaker.opened().times;
        breaker.open(Suspicion::Disk, trouble("disk"));
        assert!(!breaker.close(times) && !closed(&breaker));
        assert_eq!(*breaker.trouble().borrow(), Some(trouble("disk")));
        assert!(matches!(breaker.opened().suspicion, Some(Suspicion::Disk)), "the disk is asked next");
        let times = breaker.opened().times;
        assert!(breaker.close(times) && closed(&breaker));
        assert_eq!(*breaker.trouble().borrow(), None);
    }
}
