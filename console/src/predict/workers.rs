//! The state of the queues, from the broker: whether a worker takes interactive jobs, and how many messages wait.

use adapters::amqp::{self, Depth, Lane, Topology};
use adapters::postgres::Database;
use domain::{Failure, FailureCode};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use crate::problem::Problem;

/// How long the broker's counts are used again, unless no worker is there; and how long a failure to count is.
const FRESH: Duration = Duration::from_secs(3);
/// Longest that a count may take. Requests wait for it: those that come meanwhile get the same answer.
const COUNTED_WITHIN: Duration = Duration::from_secs(4);

/// The depth of each queue, or why they could not be counted.
type Counted = Result<Vec<Depth>, Failure>;

/// Asks the broker.
pub(crate) struct Workers {
    settings: amqp::Settings,
    /// The model that the console's own jobs ask for.
    model: String,
    database: Database,
    latest: Mutex<Option<(Instant, Counted)>>,
}

impl Workers {
    /// Asks the broker of these settings about the queues of `model`, and of the models whose jobs are open.
    pub(crate) fn new(settings: &amqp::Settings, model: &str, database: &Database) -> Self {
        let (settings, model, database) = (settings.clone(), model.to_owned(), database.clone());
        Self { settings, model, database, latest: Mutex::default() }
    }

    /// The depth of each queue, counted at most three seconds ago. Never waits longer than for two counts.
    ///
    /// # Errors
    /// `broker.unreachable`, `database.unreachable`.
    pub(crate) async fn depths(&self) -> Result<Vec<Depth>, Failure> {
        // Senders that hang up take their count with them, and the next one begins anew.
        let counted = tokio::time::timeout(2 * COUNTED_WITHIN, self.counted()).await;
        counted.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn counted(&self) -> Counted {
        let mut latest = self.latest.lock().await;
        if let Some((at, counted)) = &*latest
            && at.elapsed() < FRESH
            && self.is_of_use(counted)
        {
            return counted.clone();
        }
        let counted = tokio::time::timeout(COUNTED_WITHIN, self.count()).await.unwrap_or_else(|_| Err(too_slow()));
        *latest = Some((Instant::now(), counted.clone()));
        counted
    }

    /// That no worker is there is asked again each time: one may just have started.
    fn is_of_use(&self, counted: &Counted) -> bool {
        let Ok(depths) = counted else { return true };
        self.interactive(depths, &self.model).is_some_and(|consumers| consumers > 0)
    }

    async fn count(&self) -> Counted {
        let mut models = self.database.open_models().await?;
        if !models.contains(&self.model) {
            models.push(self.model.clone());
        }
        amqp::depths(&self.settings, &models).await
    }

    /// Whether a worker takes interactive jobs for the console's own model; not while the services do not answer.
    pub(crate) async fn running(&self) -> bool {
        self.running_for(&self.model).await
    }

    /// The same, for another model.
    pub(crate) async fn running_for(&self, model: &str) -> bool {
        // A model that has had its first job since the counting is not known to have no worker.
        self.depths().await.is_ok_and(|depths| self.interactive(&depths, model) != Some(0))
    }

    /// Consumers of the interactive queue of a model; `None` when they were not counted.
    fn interactive(&self, depths: &[Depth], model: &str) -> Option<u32> {
        let queue = Topology::new(&self.settings).jobs(&Lane::Interactive.of(model));
        depths.iter().find(|depth| depth.queue == queue).map(|depth| depth.consumers)
    }

    /// Refuses a request while no worker would process it.
    ///
    /// # Errors
    /// 503 without a worker or without the broker.
    pub(crate) async fn require(&self) -> Result<(), Problem> {
        if self.interactive(&self.depths().await?, &self.model).is_some_and(|consumers| consumers > 0) {
            return Ok(());
        }
        let model = &self.model;
        let detail =
            format!("No worker takes jobs for the model `{model}` at this moment. Start one, or try again later.");
        Err(Problem::unavailable("worker.none", detail))
    }
}

fn too_slow() -> Failure {
    let s = COUNTED_WITHIN.as_secs();
    Failure::new(FailureCode::BrokerUnreachable, format!("the queues could not be counted within {s} s"))
}
