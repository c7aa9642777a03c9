//! Takes recordings as the store's notifications name them, out of a queue of RabbitMQ.
//!
//! A notification is acknowledged when all that it names is enqueued and confirmed, or needs nothing. What can't be read is
//! set aside beside its queue.

use adapters::amqp::{Inbox, Letter, Settings};
use adapters::retry::{Backoff, RetryPolicy};
use adapters::s3::notification::{self, Event, ObjectName};
use domain::{Failure, ObjectRef};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

use super::intake::{Candidate, IN_HAND, Intake, Look, hash};
use crate::error::ProducerError;
use crate::source::recordings::is_of_one_object;

use super::sidecar::{base, is_sidecar, names, recording};

/// Notifications in flight: those that wait for rest or call data are among them.
const PREFETCH: u16 = 10_000;
/// Notifications read before their objects are looked at.
const BURST: usize = 500;
/// Objects looked at in the store at the same time.
const LOOKUPS: usize = 16;
/// Recordings that a sidecar is looked up for.
const MOST_OF_A_SIDECAR: usize = 50;
/// Keys listed to find them.
const MOST_SIBLINGS: usize = 1000;
/// Longest pause before the queue is opened again.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Shortest pause before the same object is looked at again.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// A notification whose objects are not all settled.
struct Pending {
    letter: Letter,
    objects: Vec<ObjectName>,
    /// What can't be read of it.
    problem: Option<String>,
    look_at: Instant,
}

/// Follows the notifications until the stop.
///
/// # Errors
/// Of a service that refuses, or with [`RetryPolicy::NEVER`] does not answer.
pub(super) async fn follow(
    intake: &Intake,
    settings: &Settings,
    queue: &str,
    prefix: &str,
) -> Result<(), ProducerError> {
    let mut backoff = Backoff::new(LONGEST_PAUSE);
    while !intake.stop.is_cancelled() {
        let failure = match session(intake, settings, (queue, prefix), &mut backoff).await {
            Ok(()) => break,
            Err(ProducerError::Service(failure)) => failure,
            Err(other) => return Err(other),
        };
        if intake.stop.is_cancelled() {
            break;
        }
        if !failure.is_unreachable() || intake.enqueuer.policy == RetryPolicy::NEVER {
            return Err(failure.into());
        }
        intake.meter.say(&format!("opening the queue `{queue}` again: {}", failure.message));
        tokio::select! {
            () = intake.stop.cancelled() => {}
            () = tokio::time::sleep(backoff.pause()) => {}
        }
    }
    Ok(())
}

/// One connection to the queue. What is not acknowledged when it ends is delivered again.
async fn session(
    intake: &Intake,
    settings: &Settings,
    (queue, prefix): (&str, &str),
    backoff: &mut Backoff,
) -> Result<(), ProducerError> {
    let mut inbox = Inbox::open(settings, queue, PREFETCH, intake.enqueuer.publisher.clone()).await?;
    if inbox.created {
        intake.meter.say(&format!(
            "note      there was no queue `{queue}`: it was created; bind it to the exchange of the notifications"
        ));
    }
    let mut pending = Vec::new();
    loop {
        let mut letters = Vec::new();
        let next_look = pending.iter().map(|pending: &Pending| pending.look_at).min();
        tokio::select! {
            biased;
            () = intake.stop.cancelled() => break,
            letter = inbox.next() => letters.push(letter?),
            () = tokio::time::sleep_until(next_look.unwrap_or_else(Instant::now)), if next_look.is_some() => {}
        }
        while letters.len() < BURST {
            let Some(letter) = inbox.ready() else { break };
            letters.push(letter?);
        }
        for letter in letters {
            intake.tally.events.inc();
            match notification::events(&letter.body) {
                Ok(events) => pending.push(read(intake, prefix, letter, events)),
                Err(why) => set_aside(intake, &inbox, letter, &why).await?,
            }
        }
        pending = look(intake, &inbox, prefix, pending).await?;
        intake.meter.at(intake.tally.enqueued.get(), None, &intake.tally.line());
        backoff.reset();
    }
    inbox.close().await;
    Ok(())
}

fn read(intake: &Intake, prefix: &str, letter: Letter, events: Vec<Result<Event, String>>) -> Pending {
    let (mut objects, mut problem) = (Vec::new(), None);
    for event in events {
        match event {
            Ok(Event::Written(object)) => {
                let is_ours = |key: &str| key.starts_with(prefix);
                if object.bucket == intake.bucket
                    && (is_ours(&object.key) || object.as_sent.as_deref().is_some_and(is_ours))
                {
                    objects.push(object);
                }
            }
            Ok(Event::Other) => {}
            Err(why) => problem = problem.or(Some(why)),
        }
    }
    Pending { letter, objects, problem, look_at: Instant::now() }
}

async fn set_aside(intake: &Intake, inbox: &Inbox, letter: Letter, why: &str) -> Result<(), Failure> {
    inbox.set_aside(letter, why).await?;
    intake.tally.set_aside.inc();
    intake.meter.say(&format!("set aside a notification, in the queue `{}`: {why}", inbox.aside()));
    Ok(())
}

/// Enqueues what is due, and returns the notifications that are still open.
async fn look(
    intake: &Intake,
    inbox: &Inbox,
    prefix: &str,
    mut pending: Vec<Pending>,
) -> Result<Vec<Pending>, ProducerError> {
    let now = Instant::now();
    let due = pending.iter().enumerate().filter(|(_, pending)| pending.look_at <= now);
    let objects: Vec<(usize, ObjectName)> =
        due.flat_map(|(i, pending)| pending.objects.iter().map(move |object| (i, object.clone()))).collect();
    let lookups = objects
        .into_iter()
        .map(|(i, object)| async move { Ok::<_, Failure>((i, candidates(intake, prefix, &object).await?)) });
    let found: Vec<(usize, Vec<Candidate>)> =
        stream::iter(lookups.collect::<Vec<_>>()).buffered(LOOKUPS).try_collect().await?;

    let (mut ready, mut of_key, mut keys) = (Vec::new(), Vec::new(), HashSet::new());
    for pending in pending.iter_mut().filter(|pending| pending.look_at <= now) {
        // Settled, unless one of its objects says otherwise.
        pending.look_at = now;
    }
    for (i, candidates) in found {
        for candidate in candidates {
            match intake.look(candidate) {
                Look::Take(candidate) => {
                    of_key.push((candidate.object.key.clone(), i));
                    // Several notifications may name one object.
                    if keys.insert(candidate.object.key.clone()) {
                        ready.push(candidate);
                    }
                }
                Look::Settled => {}
                Look::Wait { after, .. } => {
                    pending[i].look_at = pending[i].look_at.max(now + after.max(SHORTEST_WAIT));
                }
            }
        }
    }
    let left = intake.take(ready).await?;
    for candidate in left.in_flight {
        for (_, i) in of_key.iter().filter(|(key, _)| *key == candidate.object.key) {
            pending[*i].look_at = now + IN_HAND;
        }
    }
    let mut open = Vec::new();
    for pending in pending {
        if pending.look_at > now {
            open.push(pending);
        } else if let Some(why) = &pending.problem {
            set_aside(intake, inbox, pending.letter, why).await?;
        } else {
            pending.letter.done().await?;
        }
    }
    intake.tally.waiting.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
    Ok(open)
}

/// The recordings that a notification's object is, or is a sidecar of, as they are in the store now.
async fn candidates(intake: &Intake, prefix: &str, object: &ObjectName) -> Result<Vec<Candidate>, Failure> {
    let spellings = [Some(&object.key), object.as_sent.as_ref()];
    for key in spellings.into_iter().flatten().filter(|key| key.starts_with(prefix)) {
        let found = if intake.call_data.has_sidecars() && is_sidecar(key) {
            of_sidecar(intake, key).await?
        } else if intake.is_wanted(key) {
            recording_of(intake, key).await?.into_iter().collect()
        } else {
            Vec::new()
        };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// The recording with this key and its sidecar; `None` when it was deleted, or can't be taken. Where its sidecar is denied, the
/// recording can't be taken: without its roles, another voice might be scored.
async fn recording_of(intake: &Intake, key: &str) -> Result<Option<Candidate>, Failure> {
    let found = async {
        ObjectRef::validate_key(key)?;
        let Some(object) = intake.store.head(&intake.bucket, key).await? else { return Ok(None) };
        let mut sidecar = None;
        if intake.call_data.has_sidecars() {
            // A name that no object can have needs no request.
            for name in names(key).into_iter().filter(|name| ObjectRef::validate_key(name).is_ok()) {
                sidecar = intake.store.head(&intake.bucket, &name).await?;
                if sidecar.is_some() {
                    break;
                }
            }
        }
        Ok(Some(Candidate { object, sidecar, folder: None }))
    };
    match found.await {
        Err(failure) => leave_out(intake, key, failure).await.map(|()| None),
        found => found,
    }
}

async fn of_sidecar(intake: &Intake, key: &str) -> Result<Vec<Candidate>, Failure> {
    let keys = if let Some(recording) = recording(key) {
        vec![recording.to_owned()]
    } else {
        let siblings = intake.store.list(&intake.bucket, &format!("{}.", base(key)));
        let siblings = siblings
            .take(MOST_SIBLINGS)
            .try_filter(|sibling| std::future::ready(!is_sidecar(&sibling.key) && base(&sibling.key) == base(key)));
        match siblings.map_ok(|sibling| sibling.key).take(MOST_OF_A_SIDECAR).try_collect().await {
            Ok(keys) => keys,
            Err(failure) => {
                leave_out(intake, key, failure).await?;
                Vec::new()
            }
        }
    };
    let mut found = Vec::new();
    for key in keys.iter().filter(|key| intake.is_wanted(key)) {
        found.extend(recording_of(intake, key).await?);
    }
    Ok(found)
}

/// Tells that this object is left out, if the failure is its own.
///
/// # Errors
/// The failure, where it is that of the store as a whole: then the notification stays in its queue.
async fn leave_out(intake: &Intake, key: &str, failure: Failure) -> Result<(), Failure> {
    if !is_of_one_object(&intake.store, &intake.bucket, key, &failure).await {
        return Err(failure);
    }
    intake.leave_out(hash(&("key", key)), &format!("s3://{}/{key}: {}", intake.bucket, failure.message));
    Ok(())
}
