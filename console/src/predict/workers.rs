//! The state of the queues, from the broker: whether a worker takes interactive jobs, and how many messages wait.

use adapters::amqp::{self, Depth, Lane, Topology};
use domain::Failure;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use crate::problem::Problem;

/// How long the broker's counts are used again, unless no worker is there.
const FRESH: Duration = Duration::from_secs(3);

/// Asks the broker.
pub(crate) struct Workers {
    settings: amqp::Settings,
    latest: Mutex<Option<(Instant, Vec<Depth>)>>,
}

impl Workers {
    /// Asks the broker of these settings.
    pub(crate) fn new(settings: &amqp::Settings) -> Self {
        Self { settings: settings.clone(), latest: Mutex::default() }
    }

    /// The depth of each queue, counted at most three seconds ago.
    ///
    /// # Errors
    /// `broker.unreachable`.
    pub(crate) async fn depths(&self) -> Result<Vec<Depth>, Failure> {
        let mut latest = self.latest.lock().await;
        if let Some((at, depths)) = &*latest
            && at.elapsed() < FRESH
            && self.interactive(depths) > 0
        {
            return Ok(depths.clone());
        }
        let depths = amqp::depths(&self.settings).await?;
        *latest = Some((Instant::now(), depths.clone()));
        Ok(depths)
    }

    /// Consumers of the interactive queue, counted at most three seconds ago.
    ///
    /// # Errors
    /// `broker.unreachable`.
    pub(crate) async fn count(&self) -> Result<u32, Failure> {
        Ok(self.interactive(&self.depths().await?))
    }

    fn interactive(&self, depths: &[Depth]) -> u32 {
        let queue = Topology::new(&self.settings).jobs(Lane::Interactive);
        depths.iter().find(|depth| depth.queue == queue).map_or(0, |depth| depth.consumers)
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
