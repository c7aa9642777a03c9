//! Jobs for a model whose queues no worker consumes. They wait until one does, so whoever waits for them is told.

use adapters::amqp::{Depth, Lane, Topology, depths};
use domain::Failure;
use settings::Settings;
use std::time::{Duration, Instant};

use crate::meter::Meter;

/// A wait without progress for this long looks whether workers consume.
const STALLED: Duration = Duration::from_secs(10);
/// Longest time for the broker's answer: waiting works without it.
const ASKING: Duration = Duration::from_secs(5);

/// A sentence for each model with open jobs and without a worker. `open` is the number of jobs by model.
pub(crate) fn sentences(open: &[(String, u64)], topology: &Topology, depths: &[Depth]) -> Vec<String> {
    let consumed = |model: &str| {
        let queues = Lane::ALL.map(|lane| topology.jobs(&lane.of(model)));
        depths.iter().any(|depth| depth.consumers > 0 && queues.contains(&depth.queue))
    };
    let unserved = open.iter().filter(|(model, jobs)| *jobs > 0 && !consumed(model));
    unserved.map(|(model, jobs)| format!("{jobs} jobs wait for model {model}; no worker consumes its queue")).collect()
}

/// The same, by asking the broker; empty when it does not answer.
pub(crate) async fn ask(settings: &Settings, open: &[(String, u64)]) -> Vec<String> {
    let models: Vec<&str> = open.iter().filter(|(_, jobs)| *jobs > 0).map(|(model, _)| model.as_str()).collect();
    if models.is_empty() {
        return Vec::new();
    }
    match tokio::time::timeout(ASKING, depths(&settings.amqp, &models)).await {
        Ok(Ok(depths)) => sentences(open, &Topology::new(&settings.amqp), &depths),
        _ => Vec::new(),
    }
}

/// Looks for such jobs while a command waits and nothing ends, and tells each case once.
#[derive(Debug)]
pub(crate) struct Lookout<'a> {
    settings: &'a Settings,
    progress: u64,
    since: Instant,
    told: Vec<String>,
}

impl<'a> Lookout<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self { settings, progress: 0, since: Instant::now(), told: Vec::new() }
    }

    /// Called at every poll with a number that changes when something ends.
    pub(crate) async fn look(
        &mut self,
        progress: u64,
        open: impl AsyncFnOnce() -> Result<Vec<(String, u64)>, Failure>,
        meter: &Meter,
    ) {
        if progress != self.progress {
            (self.progress, self.since) = (progress, Instant::now());
        }
        if self.since.elapsed() < STALLED {
            return;
        }
        self.since = Instant::now();
        let Ok(open) = open().await else { return };
        let sentences = ask(self.settings, &open).await;
        for sentence in sentences.iter().filter(|sentence| !self.told.contains(sentence)) {
            meter.say(sentence);
        }
        self.told = sentences;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_told_of_whose_model_no_worker_has() {
        let settings = Settings::from_toml("").expect("the defaults are valid");
        let topology = Topology::new(&settings.amqp);
        let depth = |queue, consumers| Depth { queue, messages: 3, consumers };
        let depths = [
            depth(topology.jobs(&Lane::Bulk.of("a")), 0),
            depth(topology.jobs(&Lane::Interactive.of("a")), 0),
            depth(topology.jobs(&Lane::Bulk.of("b")), 2),
            depth(topology.jobs(&Lane::Interactive.of("b")), 2),
            depth(topology.intake(Lane::Bulk), 2),
        ];
        let open = [("a".into(), 12), ("b".into(), 7), ("c".into(), 0)];
        let told = sentences(&open, &topology, &depths);
        assert_eq!(told, ["12 jobs wait for model a; no worker consumes its queue"]);
    }
}
