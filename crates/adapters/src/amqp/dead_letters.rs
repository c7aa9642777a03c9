//! The queue of dead letters: listed, replayed, or dropped.

use domain::{Failure, JobId, ObjectRef};
use futures_util::future::try_join_all;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::{Channel, Connection};
use std::collections::HashSet;

use super::Settings;
use super::dead_letter::{DeadLetter, Filter};
use super::link;
use super::message::Message;
use super::publisher::Publisher;
use super::topology::{Topology, short};
use crate::boxed;

/// Dead letters sent again at once.
const WINDOW: usize = 200;

/// Some dead letters, with counts.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The first of those that match.
    pub letters: Vec<DeadLetter>,
    /// How many match.
    pub matching: usize,
    /// How many there are.
    pub total: usize,
}

/// Dead letters that were taken out of their queue for good.
#[derive(Debug, Clone, Default)]
pub struct Discarded {
    /// How many.
    pub letters: usize,
    /// The jobs whose rows they were about.
    pub jobs: HashSet<JobId>,
    /// Letters that were kept, since `prepare` failed for them alone.
    pub kept: usize,
    /// Why the first of those was kept.
    pub problem: Option<Failure>,
    /// Programs that consume the queue: what they have in flight was not looked at.
    pub consumers: u32,
}

/// Access to the dead letters, over a connection of its own. Letters that are read are out of the queue until the
/// connection closes, and then return to it, even after a crash.
#[derive(Debug)]
pub struct DeadLetters {
    settings: Settings,
    topology: Topology,
}

/// A pass through the queue as it was when the pass began.
struct Pass {
    connection: Connection,
    channel: Channel,
    queue: String,
    left: u32,
    consumers: u32,
}

impl DeadLetters {
    /// Access by these settings. No network yet.
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), topology: Topology::new(settings) }
    }

    /// Shows each letter that matches; all stay in the queue.
    ///
    /// # Errors
    /// `broker.unreachable`.
    pub async fn each(&self, filter: &Filter, mut look: impl FnMut(&DeadLetter)) -> Result<(), Failure> {
        let mut pass = self.pass().await?;
        while let Some((letter, _)) = pass.next().await? {
            if filter.matches(&letter) {
                look(&letter);
            }
        }
        pass.end().await;
        Ok(())
    }

    /// Counts the letters that match, and reads the first `limit` of them, oldest first.
    ///
    /// # Errors
    /// `broker.unreachable`.
    #[boxed]
    pub async fn list(&self, filter: &Filter, limit: usize) -> Result<Listing, Failure> {
        let mut pass = self.pass().await?;
        let mut listing = Listing::default();
        while let Some((letter, _)) = pass.next().await? {
            listing.total += 1;
            if filter.matches(&letter) {
                listing.matching += 1;
                listing.letters.push(letter);
                // Twice the limit bounds the memory while the oldest are still being looked for.
                if listing.letters.len() >= limit.saturating_mul(2).max(64) {
                    keep_oldest(&mut listing.letters, limit);
                }
            }
        }
        keep_oldest(&mut listing.letters, limit);
        pass.end().await;
        Ok(listing)
    }

    /// Sends the letters that match back to their lanes, and takes each out of the queue once
    /// the broker has confirmed its new message. Returns how many.
    ///
    /// `prepare` is called with each group before it is sent. After an interruption some jobs are
    /// both sent and still here: sending them again is harmless, since their identity makes them one job.
    ///
    /// # Errors
    /// `broker.unreachable`, or that of `prepare`; after all others were sent, that of the first letter that was not.
    pub async fn replay(
        &self,
        filter: &Filter,
        publisher: &Publisher,
        mut prepare: impl AsyncFnMut(&[DeadLetter]) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let mut pass = self.pass().await?;
        let (mut sent, mut problem) = (0, None);
        loop {
            let (letters, ackers) = pass.group(filter).await?;
            if letters.is_empty() {
                break;
            }
            prepare(&letters).await?;
            let again = |letter: DeadLetter| {
                let queue = letter.replayed_to(publisher.topology());
                Message::replayed(letter.body, &letter.properties, letter.lane, queue)
            };
            let results = publisher.publish(letters.into_iter().map(again).collect()).await;
            let confirmed: Vec<_> =
                ackers.iter().zip(&results).filter(|(_, r)| r.is_ok()).map(|(a, _)| settle(a)).collect();
            sent += confirmed.len();
            try_join_all(confirmed).await?;
            // One that can't be sent stays, and stops only itself.
            for failure in results.into_iter().filter_map(Result::err) {
                if failure.is_unreachable() {
                    return Err(failure);
                }
                problem.get_or_insert(failure);
            }
        }
        pass.end().await;
        problem.map_or(Ok(sent), Err)
    }

    /// Takes the letters that match out of the queue for good.
    ///
    /// # Errors
    /// `broker.unreachable`.
    #[boxed]
    pub async fn discard(&self, filter: &Filter) -> Result<Discarded, Failure> {
        self.discard_after(filter, async |_| Ok(())).await
    }

    /// The same, but `prepare` is called with each letter before it is gone for good. A letter for which it fails is kept,
    /// and the others go.
    ///
    /// # Errors
    /// `broker.unreachable`, or that of `prepare` when a service does not answer.
    pub async fn discard_after(
        &self,
        filter: &Filter,
        mut prepare: impl AsyncFnMut(&DeadLetter) -> Result<(), Failure>,
    ) -> Result<Discarded, Failure> {
        let mut pass = self.pass().await?;
        let mut discarded = Discarded { consumers: pass.consumers, ..Discarded::default() };
        while let Some((letter, acker)) = pass.next().await? {
            if !filter.matches(&letter) {
                continue;
            }
            match prepare(&letter).await {
                Ok(()) => {
                    settle(&acker).await?;
                    discarded.letters += 1;
                    discarded.jobs.extend(letter.row());
                }
                Err(failure) if failure.is_unreachable() => return Err(failure),
                Err(failure) => {
                    discarded.kept += 1;
                    discarded.problem.get_or_insert(failure);
                }
            }
        }
        pass.end().await;
        Ok(discarded)
    }

    /// Takes the letters of jobs out of the queue for good that `choose` picks: it is given the jobs of a group of letters, each
    /// with its object where the message is a job. Returns how many letters.
    ///
    /// # Errors
    /// `broker.unreachable`, or that of `choose`.
    pub async fn discard_jobs<F>(
        &self,
        mut choose: impl FnMut(Vec<(JobId, Option<ObjectRef>)>) -> F,
    ) -> Result<usize, Failure>
    where
        F: Future<Output = Result<HashSet<JobId>, Failure>>,
    {
        let mut pass = self.pass().await?;
        let mut gone = 0;
        loop {
            let (letters, ackers) = pass.group(&Filter::default()).await?;
            if letters.is_empty() {
                break;
            }
            let object = |letter: &DeadLetter| letter.job().map(|job| job.object);
            let jobs = letters.iter().filter_map(|letter| Some((letter.row()?, object(letter)))).collect();
            let chosen = choose(jobs).await?;
            let is_chosen = |letter: &DeadLetter| letter.row().is_some_and(|job| chosen.contains(&job));
            for (_, acker) in letters.iter().zip(&ackers).filter(|(letter, _)| is_chosen(letter)) {
                settle(acker).await?;
                gone += 1;
            }
        }
        pass.end().await;
        Ok(gone)
    }

    #[boxed]
    async fn pass(&self) -> Result<Pass, Failure> {
        let connection = link::open(&self.settings, "emofleet dead letters").await?;
        let channel = connection.create_channel().await.map_err(|e| link::failure("opening a channel", &e))?;
        let queue = self.topology.dead();
        let depths = self.topology.declare(&channel).await?;
        // Letters that come during the pass belong to the next one.
        let (left, consumers) =
            depths.iter().find(|d| d.queue == queue).map_or((0, 0), |depth| (depth.messages, depth.consumers));
        Ok(Pass { connection, channel, queue, left, consumers })
    }
}

impl Pass {
    #[boxed]
    async fn next(&mut self) -> Result<Option<(DeadLetter, Acker)>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let got = self.channel.basic_get(short(&self.queue), BasicGetOptions::default()).await;
        let Some(got) = got.map_err(|e| link::failure("reading the dead letters", &e))? else { return Ok(None) };
        let delivery = got.delivery;
        Ok(Some((DeadLetter::new(delivery.data, delivery.properties), delivery.acker)))
    }

    /// The next letters that match, at most a window.
    #[boxed]
    async fn group(&mut self, filter: &Filter) -> Result<(Vec<DeadLetter>, Vec<Acker>), Failure> {
        let (mut letters, mut ackers) = (Vec::new(), Vec::new());
        while letters.len() < WINDOW {
            let Some((letter, acker)) = self.next().await? else { break };
            if filter.matches(&letter) {
                letters.push(letter);
                ackers.push(acker);
            }
        }
        Ok((letters, ackers))
    }

    /// Closing returns what was only read.
    #[boxed]
    async fn end(self) {
        link::close(&self.connection, "done").await;
    }
}

fn keep_oldest(letters: &mut Vec<DeadLetter>, limit: usize) {
    letters.sort_by_key(|l| l.failed_at);
    letters.truncate(limit);
}

#[boxed]
async fn settle(acker: &Acker) -> Result<(), Failure> {
    match acker.ack(BasicAckOptions::default()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(link::unreachable("the connection broke while dead letters were being settled: run it again")),
        Err(e) => Err(link::failure("settling a dead letter", &e)),
    }
}
