//! What every request shares.

use adapters::amqp::Publisher;
use adapters::postgres::Database;
use adapters::s3::Store;
use domain::Failure;
use settings::Settings;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

use crate::api::PeakCache;
use crate::auth::Passwords;
use crate::gradio::{Parked, Sessions};
use crate::guard::{ConcurrencyLimits, RateLimit};
use crate::links::SignedLinks;
use crate::pages::{Operations, Readiness};
use crate::predict::{Hub, Refusals, Workers};

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
    /// How often expensive work is done at once.
    pub limits: ConcurrencyLimits,
    /// Submissions being stored and published, whether or not their senders still wait.
    pub submitting: TaskTracker,
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
            operations: Operations::new(&database),
            database,
            parked: Parked::default(),
            sessions: Sessions::default(),
            peaks: PeakCache::default(),
            passwords: Passwords::default(),
            rate: RateLimit::new(console.requests_per_minute),
            limits: ConcurrencyLimits::new(console.uploads_at_once),
            submitting: TaskTracker::new(),
            readiness: Readiness::default(),
            settings,
        }))
    }
}
