//! Takes leases from one lane and gives each to a slot.

use adapters::amqp::{Leases, Link};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::drain::Stop;
use super::job::Workshop;

/// One lane's jobs, worked on by a fixed number of slots.
pub struct Intake {
    workshop: Arc<Workshop>,
    leases: Leases,
    slots: usize,
}

impl Intake {
    /// Jobs from `leases`, at most `slots` at once.
    pub fn new(workshop: Arc<Workshop>, leases: Leases, slots: u16) -> Self {
        Self { workshop, leases, slots: usize::from(slots) }
    }

    /// Whether the broker is there.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.leases.health()
    }

    /// Works until `stop` says so and every job in hand is settled.
    pub async fn run(mut self, stop: Stop) {
        let slots = Arc::new(Semaphore::new(self.slots));
        let in_hand = TaskTracker::new();
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot.ok(),
                () = stop.taking.cancelled() => None,
            };
            // Once stopped, this hands back what was fetched ahead and gives nothing.
            let (Some(lease), Some(slot)) = (self.leases.recv().await, slot) else { break };
            let (workshop, stop) = (self.workshop.clone(), stop.clone());
            in_hand.spawn(async move {
                let _guard = workshop.metrics.in_hand();
                workshop.process(lease, &stop).await;
                drop(slot);
            });
        }
        in_hand.close();
        in_hand.wait().await;
        self.leases.closed().await;
    }
}
