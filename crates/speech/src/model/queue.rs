//! Segments that wait for the model: bounded, interactive ones first, taken in batches by the callers.

use crate::settings;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::batch::{BatchLimits, next_batch};
use super::inference::Queued;

/// The queue between analyses and callers of the model.
#[derive(Debug)]
pub(super) struct RequestQueue {
    state: Mutex<State>,
    /// A request came, or the queue was closed.
    arrived: Condvar,
    /// Requests were taken, or the last caller has ended.
    taken: Condvar,
    limits: BatchLimits,
    /// Most requests of each lane; whoever submits another one waits.
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    interactive: VecDeque<Queued>,
    bulk: VecDeque<Queued>,
    /// Callers that wait for requests.
    idle: usize,
    /// Callers that have not ended.
    callers: usize,
    closed: bool,
}

impl RequestQueue {
    /// For this many callers, which are expected to run.
    pub(super) fn new(settings: &settings::Model, limits: BatchLimits, callers: usize) -> Self {
        let state = Mutex::new(State { callers, ..State::default() });
        // Each caller has a batch in flight and another one waiting.
        let capacity = settings.batch_items * callers * 2;
        Self { state, arrived: Condvar::new(), taken: Condvar::new(), limits, capacity }
    }

    /// Adds a request; waits while its lane is full. Gives it back when no caller is left.
    pub(super) fn push(&self, queued: Queued) -> Result<(), Queued> {
        let mut state = self.lock();
        while state.callers > 0 && state.lane(queued.request.interactive).len() >= self.capacity {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.callers == 0 {
            return Err(queued);
        }
        state.lane(queued.request.interactive).push_back(queued);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for a request and takes it with others of similar length. Nothing is waited for once a request is there:
    /// while all callers are busy, the next batches gather by themselves. `None` when the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Vec<Queued>> {
        let mut state = self.lock();
        state.idle += 1;
        while state.interactive.is_empty() && state.bulk.is_empty() {
            if state.closed {
                state.idle -= 1;
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let idle = state.idle;
        state.idle -= 1;
        let interactive = !state.interactive.is_empty();
        let lane = state.lane(interactive);
        // What waits is shared among the callers that could begin now.
        let share = lane.len().div_ceil(idle);
        let batch = next_batch(lane, self.limits, share);
        self.taken.notify_all();
        if !state.interactive.is_empty() || !state.bulk.is_empty() {
            self.arrived.notify_one();
        }
        Some(batch)
    }

    /// Lets the callers end when all that waits is done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// A caller has ended. After the last one, what waits is dropped, which its submitters notice.
    pub(super) fn caller_ended(&self) {
        let mut state = self.lock();
        state.callers -= 1;
        if state.callers == 0 {
            state.interactive.clear();
            state.bulk.clear();
            self.taken.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lane(&mut self, interactive: bool) -> &mut VecDeque<Queued> {
        if interactive { &mut self.interactive } else { &mut self.bulk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::SAMPLE_RATE;
    use crate::model::Request;
    use std::sync::Arc;
    use std::thread::spawn;

    fn queue(callers: usize) -> Arc<RequestQueue> {
        let settings = settings::Settings::default().model;
        let limits = BatchLimits { items: 8, seconds: 60.0 };
        Arc::new(RequestQueue::new(&settings, limits, callers))
    }

    fn request(seconds: usize, interactive: bool) -> Queued {
        let samples = vec![0.0; seconds * SAMPLE_RATE as usize];
        Queued::new(Request { samples, frames: false, interactive }).0
    }

    fn lengths(batch: &[Queued]) -> Vec<usize> {
        batch.iter().map(|queued| queued.request.samples.len() / SAMPLE_RATE as usize).collect()
    }

    #[test]
    fn interactive_requests_are_taken_first() {
        let queue = queue(1);
        for (seconds, interactive) in [(3, false), (3, false), (4, true)] {
            assert!(queue.push(request(seconds, interactive)).is_ok());
        }
        assert_eq!(lengths(&queue.take().expect("a batch")), [4]);
        assert_eq!(lengths(&queue.take().expect("a batch")), [3, 3]);
    }

    #[test]
    fn what_waits_is_shared_among_idle_callers() {
        let queue = queue(2);
        let take = || {
            let queue = queue.clone();
            spawn(move || queue.take().map(|batch| batch.len()))
        };
        let callers = [take(), take()];
        while queue.lock().idle < 2 {
            std::thread::yield_now();
        }
        let mut state = queue.lock();
        state.bulk.extend((0..8).map(|_| request(3, false)));
        drop(state);
        queue.arrived.notify_one();
        assert_eq!(callers.map(|caller| caller.join().expect("no panic")), [Some(4), Some(4)]);
    }

    #[test]
    fn a_closed_queue_is_emptied_first() {
        let queue = queue(1);
        assert!(queue.push(request(3, false)).is_ok());
        queue.close();
        assert_eq!(queue.take().map(|batch| batch.len()), Some(1));
        assert!(queue.take().is_none());
    }

    #[test]
    fn without_callers_nothing_is_accepted_and_what_waits_is_dropped() {
        let queue = queue(1);
        let (queued, prediction) = Queued::new(Request { samples: vec![0.0; 400], frames: false, interactive: false });
        assert!(queue.push(queued).is_ok());
        queue.caller_ended();
        assert!(prediction.wait().is_err(), "its submitter notices");
        assert!(queue.push(request(3, false)).is_err());
    }
}
