//! Leases, retries and dead letters on a real broker.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::amqp::{DeadLetters, Filter, Lane, Lease, Leases, Link, Publisher, Retry, consume, depths};
use domain::{BatchId, CallData, Failure, FailureCode, Granularity, Job, ObjectRef};
use std::time::Duration;
use tests::trial::Trial;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

fn job(key: &str) -> Job {
    let object = ObjectRef { bucket: "calls".into(), key: key.into(), etag: None };
    let options = domain::AnalysisOptions {
        model: "m".into(),
        channels: None,
        granularity: Granularity::Utterance,
        embedding: true,
    };
    Job::new(BatchId::from_name("night"), object, CallData::default(), options, chrono::Utc::now())
}

async fn next(leases: &mut Leases) -> Lease {
    timeout(SOON, leases.recv()).await.expect("a job arrives").expect("not stopped")
}

async fn none(leases: &mut Leases) {
    assert!(timeout(Duration::from_millis(700), leases.recv()).await.is_err(), "no job should arrive");
}

async fn waiting(trial: &Trial, queue: &str) -> u32 {
    let depths = depths(&trial.settings.amqp, &["m"]).await.unwrap();
    depths.into_iter().find(|d| d.queue.ends_with(queue)).expect("the queue exists").messages
}

#[tokio::test]
async fn a_published_job_arrives_once_and_is_gone_when_acknowledged() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    let job = job("通话 1+2%20.wav");
    publisher.publish_job(&job, Lane::Bulk).await.unwrap();

    let stop = CancellationToken::new();
    let mut leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 4, stop.clone());
    let lease = next(&mut leases).await;
    assert_eq!(*leases.health().borrow(), Link::Up);
    assert_eq!(Job::from_json(&lease.body).unwrap(), job);
    assert_eq!(lease.message_id.as_deref(), Some(job.job_id.to_string().as_str()));
    assert_eq!((lease.retries, lease.redelivered, lease.lane), (0, false, Lane::Bulk));
    assert_eq!(lease.traceparent().unwrap().trace_id, job.job_id.0.as_u128());
    lease.ack().await.unwrap();

    stop.cancel();
    assert!(leases.recv().await.is_none());
    timeout(SOON, leases.closed()).await.expect("all is settled");
    assert_eq!(waiting(&trial, ".jobs.bulk.m").await, 0);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn lanes_do_not_wait_for_each_other() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    publisher.publish_job(&job("bulk"), Lane::Bulk).await.unwrap();
    publisher.publish_job(&job("page"), Lane::Interactive).await.unwrap();
    let mut leases = consume(&trial.settings.amqp, &Lane::Interactive.of("m"), 1, CancellationToken::new());
    let lease = next(&mut leases).await;
    assert_eq!(Job::from_json(&lease.body).unwrap().object.key, "page");
    lease.ack().await.unwrap();
    none(&mut leases).await;
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn thousands_of_jobs_are_published_with_many_in_flight() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    let jobs: Vec<Job> = (0..3000).map(|i| job(&format!("{i}.wav"))).collect();
    let begun = std::time::Instant::now();
    let results = publisher.publish_jobs(&jobs, Lane::Bulk).await;
    println!("3000 jobs confirmed in {:?}", begun.elapsed());
    assert_eq!(results.len(), 3000);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(waiting(&trial, ".jobs.bulk.m").await, 3000);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again_and_the_returned_job_finds_it() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    publisher.publish_job(&job("before"), Lane::Bulk).await.unwrap();
    let url = secrecy::ExposeSecret::expose_secret(&trial.settings.amqp.url);
    let broker = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let queue = format!("{}.jobs.bulk.m", trial.settings.amqp.prefix);
    let channel = broker.create_channel().await.unwrap();
    channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default()).await.unwrap();

    let jobs = [job("after 1"), job("after 2")];
    assert!(publisher.publish_jobs(&jobs, Lane::Bulk).await.iter().all(Result::is_ok));
    assert_eq!(waiting(&trial, ".jobs.bulk.m").await, 2);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn what_is_requeued_or_dropped_is_delivered_again() {
    let trial = Trial::new().unwrap();
    Publisher::new(&trial.settings.amqp).publish_job(&job("a"), Lane::Bulk).await.unwrap();
    let mut leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 1, CancellationToken::new());
    next(&mut leases).await.requeue().await;
    let again = next(&mut leases).await;
    assert!(again.redelivered);
    drop(again);
    next(&mut leases).await.ack().await.unwrap();
    none(&mut leases).await;
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn what_can_not_begin_in_time_is_requeued() {
    let mut trial = Trial::new().unwrap();
    trial.settings.amqp.consumer_timeout_s = 10;
    let publisher = Publisher::new(&trial.settings.amqp);
    assert!(publisher.publish_jobs(&[job("a"), job("b")], Lane::Bulk).await.iter().all(Result::is_ok));
    let job_time = Duration::from_secs(6);
    let leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 2, CancellationToken::new());
    let mut leases = leases.for_jobs_of(job_time);
    let first = next(&mut leases).await;
    assert!(!first.redelivered && first.begin_until(job_time) + job_time <= first.work_until());
    // No slot is free for as long as the second may wait, and a moment longer.
    let wait =
        first.begin_until(job_time).saturating_duration_since(tokio::time::Instant::now()) + Duration::from_millis(500);
    let _ = timeout(wait, leases.keep()).await;
    let again = next(&mut leases).await;
    assert!(again.redelivered, "it was requeued, and comes again with all its time");
    assert!(again.begin_until(job_time) > first.begin_until(job_time));
    first.ack().await.unwrap();
    again.ack().await.unwrap();
    none(&mut leases).await;
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_often_requeued_is_not_dead_lettered_by_the_broker() {
    let mut trial = Trial::new().unwrap();
    trial.settings.amqp.retry_delays_s = vec![1];
    Publisher::new(&trial.settings.amqp).publish_job(&job("a"), Lane::Bulk).await.unwrap();
    let mut leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 1, CancellationToken::new());
    // Twice the broker's own limit.
    for returned in 0..200 {
        let lease = next(&mut leases).await;
        assert_eq!((lease.redelivered, lease.retries), (returned > 0, 0));
        lease.requeue().await;
    }
    next(&mut leases).await.ack().await.unwrap();
    assert_eq!(waiting(&trial, ".jobs.dead").await, 0);
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_postponed_job_comes_back_as_it_was() {
    let mut trial = Trial::new().unwrap();
    trial.settings.amqp.retry_delays_s = vec![1, 2];
    let job = job("a");
    Publisher::new(&trial.settings.amqp).publish_job(&job, Lane::Interactive).await.unwrap();
    let mut leases = consume(&trial.settings.amqp, &Lane::Interactive.of("m"), 1, CancellationToken::new());
    for redelivered in [false, true, true] {
        next(&mut leases).await.postpone().await.unwrap();
        let lease = next(&mut leases).await;
        assert_eq!(Job::from_json(&lease.body).unwrap(), job);
        assert_eq!((lease.retries, lease.redelivered, lease.lane), (0, redelivered, Lane::Interactive));
        lease.requeue().await;
    }
    // What was tried again after a failure is a message of its own.
    let Retry::Scheduled { .. } = next(&mut leases).await.retry().await.unwrap() else { panic!("delays are left") };
    let lease = next(&mut leases).await;
    assert_eq!((lease.retries, lease.redelivered), (1, false));
    lease.ack().await.unwrap();
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_transient_failure_waits_longer_each_time_until_the_delays_are_used_up() {
    let mut trial = Trial::new().unwrap();
    trial.settings.amqp.retry_delays_s = vec![1, 2];
    let job = job("a");
    Publisher::new(&trial.settings.amqp).publish_job(&job, Lane::Interactive).await.unwrap();
    let mut leases = consume(&trial.settings.amqp, &Lane::Interactive.of("m"), 1, CancellationToken::new());
    let failure = Failure::new(FailureCode::StoreUnreachable, "the store is away");
    for (retries, expected) in [(0, 1), (1, 2)] {
        let begun = std::time::Instant::now();
        let lease = next(&mut leases).await;
        assert_eq!(lease.retries, retries);
        let Retry::Scheduled { delay_s } = lease.retry().await.unwrap() else { panic!("delays are left") };
        assert_eq!(delay_s, expected);
        let lease = next(&mut leases).await;
        assert!(begun.elapsed() + Duration::from_millis(100) >= Duration::from_secs(u64::from(expected)));
        assert_eq!(Job::from_json(&lease.body).unwrap(), job);
        lease.requeue().await;
    }
    let lease = next(&mut leases).await;
    assert_eq!(lease.retries, 2);
    let Retry::Exhausted(lease) = lease.retry().await.unwrap() else { panic!("no delay is left") };
    lease.dead_letter(&failure, "w1").await.unwrap();
    assert_eq!(waiting(&trial, ".jobs.dead").await, 1);
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_listed_by_code_replayed_once_and_dropped() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    let mut leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 4, CancellationToken::new());
    let failures = [
        (FailureCode::AudioCorrupt, "frame 7 is broken"),
        (FailureCode::AudioEmpty, "no bytes"),
        (FailureCode::AudioCorrupt, "坏了"),
    ];
    for (index, (code, reason)) in failures.into_iter().enumerate() {
        publisher.publish_job(&job(&format!("{index}.wav")), Lane::Bulk).await.unwrap();
        next(&mut leases).await.dead_letter(&Failure::new(code, reason), "w1").await.unwrap();
    }
    let dead = DeadLetters::new(&trial.settings.amqp);
    let all = dead.list(&Filter::default(), 10).await.unwrap();
    assert_eq!((all.total, all.matching, all.letters.len()), (3, 3, 3));
    let letter = &all.letters[2];
    assert_eq!((letter.code.as_str(), letter.reason.as_str(), letter.worker.as_str()), ("audio.corrupt", "坏了", "w1"));
    assert_eq!(letter.job().unwrap().object.key, "2.wav");
    assert!(letter.failed_at.unwrap() > chrono::Utc::now() - chrono::TimeDelta::minutes(1));

    // Looking changes nothing, however often; filters choose.
    let corrupt = Filter { code: Some("audio.corrupt".into()), ..Filter::default() };
    for _ in 0..3 {
        assert_eq!(dead.list(&corrupt, 1).await.unwrap().matching, 2);
    }
    let other_batch = Filter { batch: Some(BatchId::from_name("day")), ..Filter::default() };
    assert_eq!(dead.list(&other_batch, 10).await.unwrap().matching, 0);
    let old = Filter { before: Some(chrono::Utc::now() - chrono::TimeDelta::hours(1)), ..Filter::default() };
    assert_eq!(dead.list(&old, 10).await.unwrap().matching, 0);

    let mut prepared = 0;
    let sent = dead
        .replay(&corrupt, &publisher, async |letters| {
            prepared += letters.len();
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!((sent, prepared), (2, 2));
    for _ in 0..2 {
        let lease = next(&mut leases).await;
        assert_eq!(lease.retries, 0);
        assert_ne!(Job::from_json(&lease.body).unwrap().object.key, "1.wav");
        lease.ack().await.unwrap();
    }
    assert_eq!(dead.replay(&corrupt, &publisher, async |_| Ok(())).await.unwrap(), 0);
    assert_eq!(dead.discard(&Filter::default()).await.unwrap().letters, 1);
    assert_eq!(dead.list(&Filter::default(), 10).await.unwrap().total, 0);
    none(&mut leases).await;
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_replayed_to_the_queue_of_their_model() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    let options = domain::AnalysisOptions { model: "small".into(), ..job("other").options };
    let other =
        Job::new(BatchId::from_name("night"), job("other").object, CallData::default(), options, job("").submitted_at);
    let mut leases = ["m", "small"].map(|model| {
        let queue = Lane::Interactive.of(model);
        consume(&trial.settings.amqp, &queue, 1, CancellationToken::new())
    });
    let failure = Failure::new(FailureCode::AudioCorrupt, "broken");
    for (job, leases) in [job("a"), other].iter().zip(&mut leases) {
        publisher.publish_job(job, Lane::Interactive).await.unwrap();
        next(leases).await.dead_letter(&failure, "w1").await.unwrap();
    }
    let dead = DeadLetters::new(&trial.settings.amqp);
    assert_eq!(dead.replay(&Filter::default(), &publisher, async |_| Ok(())).await.unwrap(), 2);
    for (key, leases) in ["a", "other"].into_iter().zip(&mut leases) {
        let lease = next(leases).await;
        assert_eq!(Job::received(&lease.body).unwrap().object.key, key);
        lease.ack().await.unwrap();
        none(leases).await;
    }
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_replay_that_fails_half_way_loses_nothing() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    let mut leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 4, CancellationToken::new());
    publisher.publish_job(&job("a"), Lane::Bulk).await.unwrap();
    let failure = Failure::new(FailureCode::AudioCorrupt, "broken");
    next(&mut leases).await.dead_letter(&failure, "w1").await.unwrap();

    let dead = DeadLetters::new(&trial.settings.amqp);
    let refuse = async |_: &[_]| Err(Failure::new(FailureCode::DatabaseUnreachable, "away"));
    assert!(dead.replay(&Filter::default(), &publisher, refuse).await.is_err());
    none(&mut leases).await;
    assert_eq!(dead.list(&Filter::default(), 10).await.unwrap().total, 1);
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn after_the_stop_no_job_comes_and_those_in_flight_can_still_be_settled() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    let jobs: Vec<Job> = (0..6).map(|i| job(&format!("{i}"))).collect();
    assert!(publisher.publish_jobs(&jobs, Lane::Bulk).await.iter().all(Result::is_ok));
    let stop = CancellationToken::new();
    let mut leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 4, stop.clone());
    let in_flight = next(&mut leases).await;
    stop.cancel();
    assert!(timeout(SOON, leases.recv()).await.unwrap().is_none());
    assert!(timeout(Duration::from_millis(500), leases.closed()).await.is_err(), "a job is still in flight");
    assert!(!in_flight.lost().is_cancelled());
    in_flight.ack().await.unwrap();
    timeout(SOON, leases.closed()).await.expect("all is settled");
    assert_eq!(waiting(&trial, ".jobs.bulk.m").await, 5);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn leases_that_nobody_wants_any_more_stop_by_themselves() {
    let trial = Trial::new().unwrap();
    let publisher = Publisher::new(&trial.settings.amqp);
    publisher.publish_job(&job("a"), Lane::Bulk).await.unwrap();
    let stop = CancellationToken::new();
    let mut dropped_leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 2, stop.clone());
    let in_flight = next(&mut dropped_leases).await;
    drop(dropped_leases);
    in_flight.requeue().await;
    let mut others = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 2, CancellationToken::new());
    next(&mut others).await.ack().await.unwrap();
    assert!(!stop.is_cancelled(), "the caller's own token is left alone");
    drop(others);
    trial.end().await.unwrap();
}
