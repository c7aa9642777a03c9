//! Whether a worker takes interactive jobs.

use adapters::amqp::{self, Lane, Topology};
use domain::Failure;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use crate::problem::Problem;

/// How long a count of the broker is used again, unless it is 0.
const FRESH: Duration = Duration::from_secs(3);

/// Asks the broker how many consumers the interactive queue has.
pub(crate) struct Workers {
    settings: amqp::Settings,
    latest: Mutex<Option<(Instant, u32)>>,
}

impl Workers {
    /// Asks the broker of these settings.
    pub(crate) fn new(settings: &amqp::Settings) -> Self {
        Self { settings: settings.clone(), latest: Mutex::default() }
    }

    /// Consumers of the interactive queue, counted at most three seconds ago.
    ///
    /// # Errors
    /// `broker.unreachable`.
    pub(crate) async fn count(&self) -> Result<u32, Failure> {
        let mut latest = self.latest.lock().await;
        if let Some((at, count)) = *latest
            && at.elapsed() < FRESH
            && count > 0
        {
            return Ok(count);
        }
        let queue = Topology::new(&self.settings).jobs(Lane::Interactive);
        let depths = amqp::depths(&self.settings).await?;
        let count = depths.iter().find(|depth| depth.queue == queue).map_or(0, |depth| depth.consumers);
        *latest = Some((Instant::now(), count));
        Ok(count)
    }

    /// Refuses a request while no worker would process it.
    ///
    /// # Errors
    /// 503 without a worker or without the broker.
    pub(crate) async fn require(&self) -> Result<(), Problem> {
        if self.count().await? > 0 {
            return Ok(());
        }
        Err(Problem::unavailable("worker.none", "No worker takes jobs at this moment. Start one, or try again later."))
    }
}
