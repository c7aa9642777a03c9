//! What happens when, drawn from a seed: the same seed, number of jobs and length give the same plan.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::time::Duration;

use super::calls;
use super::event::{Event, Form, LostQueue, Refusal, Service, StoreFault};

/// An event and its time, from the beginning of the run.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its number: with the seed, it names the event.
    pub index: usize,
    /// When.
    pub at: Duration,
    /// What.
    pub event: Event,
}

/// Size of a run.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Recordings.
    pub jobs: usize,
    /// Recordings that are enqueued together.
    pub chunk: usize,
    /// Time over which things happen.
    pub length: Duration,
    /// Mean time between two events.
    pub gap: Duration,
}

/// Draws an event of one kind.
type Kind = fn(&mut Draw) -> Event;

/// The deck that events are drawn from: each kind as often as it is in here, then all anew, so that a short run has few
/// repetitions, and a long one every kind.
const DECK: &[(Kind, u32)] = &[
    (Draw::kill_worker, 5),
    (|draw| Event::StopWorker { which: draw.any() }, 3),
    (Draw::freeze_worker, 4),
    (|_| Event::KillDispatcher, 3),
    (|_| Event::KillBroker, 1),
    (|draw| Event::RestartPostgres { kill: draw.random.random() }, 2),
    (Draw::store, 7),
    (Draw::network, 5),
    (|draw| Event::DiskFull { seconds: draw.seconds(2, 8) }, 2),
    (Draw::refusal, 3),
    (Draw::lost_queue, 2),
    (|draw| Event::Duplicates { calls: draw.calls(12) }, 4),
    (|draw| Event::Forged { calls: draw.calls(6) }, 3),
    (Draw::unreadable, 3),
    (Draw::again, 4),
    (Draw::force, 5),
    (Draw::prune, 6),
    (|draw| Event::PruneOld { killed_after: draw.kill() }, 2),
    (|draw| Event::ForceBesidePrune { call: draw.prunable() }, 2),
    (|draw| Event::AgainBesidePrune { call: draw.prunable() }, 2),
    (Draw::replay, 4),
    (Draw::drop_letters, 1),
    (|_| Event::Reconcile, 2),
    (Draw::reviews, 2),
    (|draw| Event::ReceiverRefuses { times: draw.random.random_range(1..6) }, 3),
];

/// Draws the plan. Chunks of recordings come evenly over nine tenths of the time; events concern what came before them.
///
/// # Panics
/// Never: the deck is filled before it is drawn from.
pub fn draw(seed: u64, size: Size) -> Vec<Planned> {
    let mut draw = Draw { random: StdRng::seed_from_u64(seed), came: 0, chunk: size.chunk };
    let chunks = size.jobs.div_ceil(size.chunk);
    let every = size.length.mul_f64(0.9) / u32::try_from(chunks).unwrap_or(u32::MAX).max(1);
    let mut deck: Vec<Kind> = Vec::new();
    let (mut plan, mut at, mut fed) = (Vec::new(), size.gap, 0_u32);
    while at < size.length {
        while (fed as usize) < chunks && every * fed <= at {
            plan.push((every * fed, Event::Feed { chunk: fed as usize }));
            fed += 1;
            draw.came = (fed as usize * size.chunk).min(size.jobs);
        }
        if deck.is_empty() {
            deck = DECK.iter().flat_map(|(kind, times)| vec![*kind; *times as usize]).collect();
            deck.shuffle(&mut draw.random);
        }
        let kind = deck.pop().expect("the deck was just filled");
        plan.push((at, kind(&mut draw)));
        at += size.gap.mul_f64(draw.random.random_range(0.2..1.8));
    }
    plan.extend((fed..chunks as u32).map(|chunk| (every * chunk, Event::Feed { chunk: chunk as usize })));
    plan.sort_by_key(|(at, _)| *at);
    plan.into_iter().enumerate().map(|(index, (at, event))| Planned { index, at, event }).collect()
}

/// The parameters of events.
struct Draw {
    random: StdRng,
    /// Recordings that have come so far.
    came: usize,
    chunk: usize,
}

impl Draw {
    fn any(&mut self) -> usize {
        self.random.random_range(0..1000)
    }

    fn seconds(&mut self, least: u64, most: u64) -> u64 {
        self.random.random_range(least..=most)
    }

    /// Some programs are killed while they work: after this many milliseconds.
    fn kill(&mut self) -> Option<u64> {
        self.random.random_bool(0.3).then(|| self.random.random_range(50..2500))
    }

    /// Up to `most` calls of those that came, in order.
    fn calls(&mut self, most: usize) -> Vec<usize> {
        let count = self.random.random_range(1..=most).min(self.came);
        let mut calls = rand::seq::index::sample(&mut self.random, self.came, count).into_vec();
        calls.sort_unstable();
        calls
    }

    /// A call that may be pruned: only some are, so that of the others it is known that they must be there.
    fn prunable(&mut self) -> usize {
        let prunable: Vec<usize> = (0..self.came).filter(|call| calls::is_prunable(*call)).collect();
        prunable.choose(&mut self.random).copied().unwrap_or_default()
    }

    fn kill_worker(&mut self) -> Event {
        Event::KillWorker { which: self.any() }
    }

    fn freeze_worker(&mut self) -> Event {
        let (seconds, killed) = (self.seconds(2, 25), self.random.random_bool(0.3));
        Event::FreezeWorker { which: self.any(), seconds, killed }
    }

    fn store(&mut self) -> Event {
        let faults = [
            StoreFault::Unavailable,
            StoreFault::Stall,
            StoreFault::CutAnswers,
            StoreFault::CutRequests,
            StoreFault::Denied,
            StoreFault::Page,
            StoreFault::PageNotFound,
        ];
        let fault = *faults.choose(&mut self.random).expect("there are faults");
        Event::Store { fault, seconds: self.seconds(2, 12) }
    }

    fn network(&mut self) -> Event {
        let services = [Service::Broker, Service::Postgres, Service::Store, Service::All];
        let service = *services.choose(&mut self.random).expect("there are services");
        Event::Network { service, stall: self.random.random_bool(0.4), seconds: self.seconds(1, 20) }
    }

    fn refusal(&mut self) -> Event {
        let refusals = [Refusal::Results, Refusal::Alerts, Refusal::MissingTable, Refusal::ReadOnly];
        let refusal = *refusals.choose(&mut self.random).expect("there are refusals");
        Event::Rights { refusal, seconds: self.seconds(2, 12) }
    }

    fn lost_queue(&mut self) -> Event {
        let queues = [LostQueue::Bulk, LostQueue::Bulk, LostQueue::Retry];
        let queue = *queues.choose(&mut self.random).expect("there are queues");
        Event::LoseQueue { queue, deleted: self.random.random() }
    }

    fn unreadable(&mut self) -> Event {
        let forms = [Form::Garbage, Form::NewerVersion, Form::TooLong];
        let form = *forms.choose(&mut self.random).expect("there are forms");
        Event::Unreadable { calls: self.calls(6), form, named: self.random.random_bool(0.7) }
    }

    fn again(&mut self) -> Event {
        let chunk = self.random.random_range(0..self.came.div_ceil(self.chunk).max(1));
        Event::Again { chunk, killed_after: self.kill() }
    }

    fn force(&mut self) -> Event {
        let mut calls = self.calls(20);
        // Those that go by their age go for good.
        calls.retain(|call| !calls::is_old(*call));
        Event::Force { calls, killed_after: self.kill() }
    }

    fn prune(&mut self) -> Event {
        let call = self.prunable();
        // A recording that is gone can't be enqueued again: only some calls lose theirs.
        let recordings = call.is_multiple_of(10) && self.random.random_bool(0.2);
        Event::Prune { call, even_unfinished: self.random.random(), recordings, killed_after: self.kill() }
    }

    fn replay(&mut self) -> Event {
        Event::Replay { programs: self.random.random_range(1..5), killed_after: self.kill() }
    }

    fn drop_letters(&mut self) -> Event {
        let codes = ["audio.empty", "audio.not_audio", "audio.truncated", "job.identity_mismatch", "job.unreadable"];
        Event::Drop { code: codes.choose(&mut self.random).expect("there are codes") }
    }

    fn reviews(&mut self) -> Event {
        let mut calls = self.calls(30);
        let pruned = self.prunable();
        calls.push(pruned);
        Event::ReviewsBesidePrune { calls, pruned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SIZE: Size = Size { jobs: 300, chunk: 20, length: Duration::from_secs(600), gap: Duration::from_secs(5) };

    #[test]
    fn a_seed_gives_one_plan() {
        let text = |seed| format!("{:?}", draw(seed, SIZE));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn a_plan_enqueues_everything_and_has_events_of_every_kind() {
        let plan = draw(1, SIZE);
        let chunks: BTreeSet<usize> = plan
            .iter()
            .filter_map(|planned| match planned.event {
                Event::Feed { chunk } => Some(chunk),
                _ => None,
            })
            .collect();
        assert_eq!(chunks, (0..15).collect());
        let kinds: BTreeSet<&str> = plan.iter().map(|planned| planned.event.kind()).collect();
        assert!(kinds.len() > 25, "{kinds:?}");
    }
}
