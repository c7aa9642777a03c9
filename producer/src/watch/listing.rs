//! Looks for new recordings in a bucket, by listing the whole prefix or the ranges where new ones come.

use adapters::postgres::{JOBS_PER_CHUNK, KeyRange};
use adapters::s3::ObjectInfo;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use std::collections::HashSet;
use std::time::Duration;

use super::intake::{Candidate, IN_HAND, Intake, Look};
use super::ranges::Places;
use super::sidecar::{Pairs, is_sidecar};
use crate::error::ProducerError;

/// How a look ended.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Keys or files seen.
    pub(super) listed: u64,
    /// Candidates that wait, for whatever.
    pub(super) waiting: u64,
    /// Candidates that another watcher has in flight.
    pub(super) in_flight: u64,
    /// When the first of those that wait for rest, or are in flight, may be looked at again.
    pub(super) again_after: Option<Duration>,
    /// Everything was seen to the end.
    pub(super) complete: bool,
}

impl Looked {
    pub(super) fn wait(&mut self, after: Duration, for_call_data: bool) {
        self.waiting += 1;
        if !for_call_data {
            self.again_after = Some(self.again_after.map_or(after, |earlier| earlier.min(after)));
        }
    }
}

/// Lists ranges of the prefix, and enqueues what is new. `places`: takes note of where that is.
///
/// # Errors
/// Of a service; what was found until then is enqueued or looked at again.
pub(super) async fn look(
    intake: &Intake,
    prefix: &str,
    ranges: &[KeyRange],
    mut places: Option<&mut Places>,
) -> Result<Looked, ProducerError> {
    let mut looked = Looked { complete: true, ..Looked::default() };
    let mut ready = Vec::new();
    for range in ranges {
        let mut pairs = Pairs::default();
        let after = (!range.after.is_empty()).then_some(range.after.as_str());
        let mut objects = intake.store.list_after(&intake.bucket, prefix, after);
        while let Some(object) = objects.try_next().await? {
            if range.until.as_ref().is_some_and(|until| object.key > *until) {
                break;
            }
            looked.listed += 1;
            if let Some(places) = places.as_deref_mut() {
                places.see(&object);
            }
            for (object, sidecar) in found(intake, &mut pairs, object) {
                offer(intake, Candidate { object, sidecar, folder: None }, &mut ready, &mut looked);
            }
            if ready.len() >= JOBS_PER_CHUNK {
                take(intake, std::mem::take(&mut ready), &mut looked).await?;
            }
            if intake.stop.is_cancelled() {
                looked.complete = false;
                return Ok(looked);
            }
        }
        for (object, sidecar) in pairs.end() {
            offer(intake, Candidate { object, sidecar, folder: None }, &mut ready, &mut looked);
        }
    }
    take(intake, ready, &mut looked).await?;
    intake.rest.sweep();
    Ok(looked)
}

fn found(intake: &Intake, pairs: &mut Pairs, object: ObjectInfo) -> Vec<(ObjectInfo, Option<ObjectInfo>)> {
    if intake.call_data.has_sidecars() {
        return if is_sidecar(&object.key) || intake.is_wanted(&object.key) { pairs.add(object) } else { Vec::new() };
    }
    if intake.is_wanted(&object.key) { vec![(object, None)] } else { Vec::new() }
}

/// Looks at a candidate; adds it to those that are ready, or counts it as waiting.
fn offer(intake: &Intake, candidate: Candidate, ready: &mut Vec<Candidate>, looked: &mut Looked) {
    match intake.look(candidate) {
        Look::Take(candidate) => ready.push(candidate),
        Look::Settled => {}
        Look::Wait { after, for_call_data } => looked.wait(after, for_call_data),
    }
}

/// Enqueues those that are ready. Returns the keys of those that another watcher has in flight.
///
/// # Errors
/// Of a service.
pub(super) async fn take(
    intake: &Intake,
    ready: Vec<Candidate>,
    looked: &mut Looked,
) -> Result<HashSet<String>, ProducerError> {
    let left = intake.take(ready).await?;
    looked.in_flight += left.in_flight.len() as u64;
    for _ in &left.in_flight {
        looked.wait(IN_HAND, false);
    }
    intake.meter.at(intake.tally.enqueued.get(), None, &intake.tally.line());
    Ok(left.in_flight.into_iter().map(|candidate| candidate.object.key).collect())
}

/// The whole prefix as a range.
pub(super) fn whole() -> Vec<KeyRange> {
    vec![KeyRange { after: String::new(), until: None }]
}

/// Since when a write is lately, for a look that begins now.
pub(super) fn since(overlap: Duration) -> DateTime<Utc> {
    Utc::now() - overlap
}
