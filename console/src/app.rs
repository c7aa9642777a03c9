//! What every request shares.

use adapters::amqp::Publisher;
use adapters::postgres::Database;
use adapters::s3::Store;
use domain::Failure;
use settings::Settings;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::api::PeakCache;
use crate::auth::Passwords;
use crate::gradio::{Parked, Sessions};
use crate::guard::RateLimit;
use crate::links::SignedLinks;
use crate::pages::{Operations, Readiness};
use crate::predict::{Hub, Refusals, Workers};

/// JSON bodies in memory at once; each takes up to twice the size of its text.
const JSON_BODIES: usize = 6;
/// Waveforms drawn at once: each reads a whole recording, and decodes it.
const WAVEFORMS: usize = 4;
/// Results with frames in memory at once: four hours of two channels are 150 MB of JSON, and less than twice as much with what is
/// read of it.
const LARGE_RESULTS: usize = 2;
/// Large answers of frames being sent at once: each is a file of up to some 150 MB until its reader has it.
const LARGE_ANSWERS: usize = 4;
/// Archives being made or sent at once: each takes up to thrice 4 GiB of the disk until it has been sent.
const ARCHIVES: usize = 8;

/// Settings, services, and requests in progress.
pub(crate) struct App {
    /// All settings.
    pub settings: Settings,
    /// Postgres.
    pub database: Database,
    /// Recordings and artifacts.
    pub store: Store,
    /// Links by which browsers read audio from the store; `None`: the console passes it on.
    pub links: Option<SignedLinks>,
    /// Publishes jobs.
    pub publisher: Publisher,
    /// Jobs that a request or a page waits for.
    pub hub: Hub,
    /// Files of several that were not taken.
    pub refusals: Refusals,
    /// Counts the workers.
    pub workers: Workers,
    /// Files received by `/upload`.
    pub parked: Parked,
    /// Jobs of Gradio's clients, by their session.
    pub sessions: Sessions,
    /// The latest waveforms.
    pub peaks: PeakCache,
    /// Checks passwords, few at once.
    pub passwords: Passwords,
    /// Requests of each caller.
    pub rate: RateLimit,
    /// Uploads being received.
    pub uploads: Semaphore,
    /// Submissions being stored and published, whether or not their senders still wait.
    pub submitting: TaskTracker,
    /// JSON bodies being decoded.
    pub decoding: Arc<Semaphore>,
    /// Waveforms being drawn.
    pub drawing: Arc<Semaphore>,
    /// Large results being read.
    pub reading: Arc<Semaphore>,
    /// Large answers of frames on disk.
    pub sending: Arc<Semaphore>,
    /// Archives on disk.
    pub archives: Arc<Semaphore>,
    /// Which services are missing.
    pub readiness: Readiness,
    /// The state of the fleet, as the latest reader saw it.
    pub operations: Operations,
}

/// The state of all routes.
pub(crate) type Shared = Arc<App>;

impl App {
    /// With these settings; connects to no service yet.
    ///
    /// # Errors
    /// When a URL or credentials are wrong.
    pub(crate) fn open(settings: Settings) -> Result<Shared, Failure> {
        let console = &settings.console;
        let database = Database::lazy(&settings.postgres)?;
        Ok(Arc::new(Self {
            store: Store::new(&settings.s3)?,
            links: SignedLinks::open(&settings)?,
            publisher: Publisher::new(&settings.amqp),
            hub: Hub::default(),
            refusals: Refusals::default(),
            workers: Workers::new(&settings.amqp, &settings.model.name, &database),
            database,
            parked: Parked::default(),
            sessions: Sessions::default(),
            peaks: PeakCache::default(),
            passwords: Passwords::default(),
            rate: RateLimit::new(console.requests_per_minute),
            uploads: Semaphore::new(usize::from(console.uploads_at_once)),
            submitting: TaskTracker::new(),
            decoding: Arc::new(Semaphore::new(JSON_BODIES)),
            drawing: Arc::new(Semaphore::new(WAVEFORMS)),
            reading: Arc::new(Semaphore::new(LARGE_RESULTS)),
            sending: Arc::new(Semaphore::new(LARGE_ANSWERS)),
            archives: Arc::new(Semaphore::new(ARCHIVES)),
            readiness: Readiness::default(),
            operations: Operations::default(),
            settings,
        }))
    }
}
