//! Takes leases of one lane and runs each in a slot.

use adapters::amqp::{Leases, Link};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::drain::Stop;
use super::processor::JobProcessor;

/// A fixed number of slots for the jobs of one lane.
pub struct SlotPool {
    processor: Arc<JobProcessor>,
    leases: Leases,
    slots: usize,
}

impl SlotPool {
    /// Runs jobs of `leases`, at most `slots` at once.
    pub fn new(processor: Arc<JobProcessor>, leases: Leases, slots: u16) -> Self {
        Self { processor, leases, slots: usize::from(slots) }
    }

    /// Follows whether jobs can come in.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.leases.health()
    }

    /// Runs until `stop` is cancelled and every job in flight is settled.
    pub async fn run(mut self, stop: Stop) {
        let slots = Arc::new(Semaphore::new(self.slots));
        let in_flight = TaskTracker::new();
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot.ok(),
                () = stop.taking.cancelled() => None,
                never = self.leases.keep() => match never {},
            };
            // Once stopped, `recv` requeues what was prefetched and returns nothing.
            let (Some(lease), Some(slot)) = (self.leases.recv().await, slot) else { break };
            let (processor, stop) = (self.processor.clone(), stop.clone());
            in_flight.spawn(async move {
                Box::pin(processor.process(lease, &stop)).await;
                drop(slot);
            });
        }
        in_flight.close();
        in_flight.wait().await;
        self.leases.closed().await;
    }
}
